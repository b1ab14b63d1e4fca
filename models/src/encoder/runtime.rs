//! ONNX Runtime: its library, and a model of one input and one output that runs in batches.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ort::environment::Environment;
use ort::ep::{self, cuda::ConvAlgorithmSearch};
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{AutoDevicePolicy, SessionBuilder};
use ort::value::{Outlet, TensorElementType, TensorRef};
use rayon::prelude::*;

use super::{EncoderError, Placement};
use crate::sample::Embedding;

/// Samples of one call into a model on a GPU: more does not make it faster, and memory grows with it.
const MAX_BATCH: usize = 16;
/// And on a CPU: four samples are no faster, and what the graphs keep for their work between calls is twice as much.
const MAX_BATCH_CPU: usize = 2;

/// ONNX Runtime allows one environment in a process, and forgets it when its last handle goes; this one stays.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// A loaded ONNX Runtime and how its models are to run.
#[derive(Debug, Clone)]
pub struct Runtime {
    environment: Environment,
    placement: Placement,
    threads: Option<usize>,
    /// By their files: a graph that two parts of an encoder run is in memory once.
    sessions: Arc<Mutex<HashMap<PathBuf, Weak<Mutex<Session>>>>>,
}

impl Runtime {
    /// Loads the library: `ORT_DYLIB_PATH` if that is set, else `cache/onnxruntime/libonnxruntime.so`, else the system's.
    ///
    /// The first success counts for the whole process. `threads` is for each model; `None`: one per core.
    pub fn open(cache: &Path, placement: Placement, threads: Option<usize>) -> Result<Self, EncoderError> {
        let mut loaded = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
        let environment = match &*loaded {
            Some(environment) => environment.clone(),
            None => loaded.insert(load(&candidates(cache))?).clone(),
        };
        Ok(Self { environment, placement, threads, sessions: Arc::default() })
    }

    /// The most samples of one call into a model.
    pub fn max_batch(&self) -> usize {
        if self.placement == Placement::Cpu { MAX_BATCH_CPU } else { MAX_BATCH }
    }

    fn session(&self, part: &'static str, path: &Path) -> Result<Arc<Mutex<Session>>, EncoderError> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get(path).and_then(Weak::upgrade) {
            return Ok(session);
        }
        let session = Arc::new(Mutex::new(self.load(part, path)?));
        sessions.insert(path.to_owned(), Arc::downgrade(&session));
        Ok(session)
    }

    fn load(&self, part: &'static str, path: &Path) -> Result<Session, EncoderError> {
        let damaged =
            |e: ort::Error| EncoderError::Load { part, path: path.to_owned(), reason: e.to_string() };
        if let Placement::Cuda { index, or_cpu } = self.placement {
            match self.on_cuda(index).and_then(|mut builder| builder.commit_from_file(path)) {
                Ok(session) => return Ok(session),
                Err(error) if or_cpu => {
                    tracing::warn!(part, %error, "device = \"auto\": this encoder runs on the CPU");
                }
                Err(error) => {
                    let reason = format!(
                        "ONNX Runtime: {error}; point ORT_DYLIB_PATH to its GPU build, or use device = \"cpu\""
                    );
                    return Err(EncoderError::Device { device: format!("cuda:{index}"), reason });
                }
            }
        }
        self.builder().and_then(|mut builder| builder.commit_from_file(path)).map_err(damaged)
    }

    fn on_cuda(&self, index: usize) -> ort::Result<SessionBuilder> {
        // Batches differ in size; an exhaustive search for each size would take seconds.
        let cuda = ep::CUDA::default()
            .with_device_id(index as i32)
            .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic);
        Ok(self.builder()?.with_execution_providers([cuda.build().error_on_failure()])?)
    }

    fn builder(&self) -> ort::Result<SessionBuilder> {
        let mut builder = Session::builder(&self.environment)?
            // Only what is asked for here: no other accelerator is picked up.
            .with_auto_device(AutoDevicePolicy::PreferCPU)?
            .with_log_level(LogLevel::Warning)?
            // The sources decode beside it: a thread that waits leaves them its core.
            .with_intra_op_spinning(false)?;
        if let Some(threads) = self.threads {
            builder = builder.with_intra_threads(threads)?;
        }
        Ok(builder)
    }
}

/// Where to look for the library, in this order.
fn candidates(cache: &Path) -> Vec<PathBuf> {
    let name = format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    if let Some(set) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        // Whoever names a library wants that one: no other takes its place silently.
        let set = PathBuf::from(set);
        let bare = set.components().count() == 1;
        return vec![if bare { set } else { std::path::absolute(&set).unwrap_or(set) }];
    }
    vec![cache.join("onnxruntime").join(&name), PathBuf::from(name)]
}

/// Loads the first of `paths` that is an ONNX Runtime of a fitting version.
///
/// This must come before any other call into `ort`, which would look for the library itself and panic without one.
fn load(paths: &[PathBuf]) -> Result<Environment, EncoderError> {
    let mut tried = Vec::new();
    for path in paths {
        match ort::init_from(path) {
            Ok(builder) => {
                let environment = builder
                    .with_name("avicuna")
                    .with_telemetry(false)
                    .with_logger(Arc::new(log))
                    .build()
                    .map_err(|e| EncoderError::Library { tried: format!("{}: {e}", path.display()) })?;
                environment.set_log_level(LogLevel::Warning);
                return Ok(environment);
            }
            Err(error) => tried.push(spell(&error)),
        }
    }
    Err(EncoderError::Library { tried: tried.join("; ") })
}

/// What the dynamic loader said is only in the error's source.
fn spell(error: &ort::LoadDynamicError) -> String {
    let reason = match error {
        ort::LoadDynamicError::Dlopen { error, .. } => std::error::Error::source(error),
        _ => None,
    };
    reason.map_or_else(|| error.to_string(), |reason| format!("{error}: {reason}"))
}

/// Errors come back from the calls as well, so the log repeats them quietly.
fn log(level: LogLevel, category: &str, _id: &str, place: &str, message: &str) {
    match level {
        LogLevel::Error | LogLevel::Fatal => tracing::warn!(category, place, "onnxruntime: {message}"),
        _ => tracing::debug!(category, place, "onnxruntime: {message}"),
    }
}

/// A model of one input `[batch, ...]` and one output `[batch, dim]`, both f32.
pub(super) struct Model {
    part: &'static str,
    session: Arc<Mutex<Session>>,
    max_batch: usize,
    input: String,
    output: String,
    /// The input's shape behind the batch.
    row: Vec<usize>,
    dim: usize,
}

/// Input tensors, ready for a call, and what is wrong with the inputs that have none.
#[derive(Debug)]
pub struct Prepared {
    /// The tensors of good inputs, one after the other.
    rows: Vec<f32>,
    inputs: Vec<Result<(), EncoderError>>,
}

/// What the manifest says about a model.
pub(super) struct Interface<'a> {
    pub part: &'static str,
    pub input: &'a str,
    pub output: &'a str,
    /// The input's shape behind the batch.
    pub row: &'a [usize],
    pub dim: usize,
}

impl Model {
    /// Loads `path` and checks it against `interface`, with a first run on zeros.
    pub(super) fn load(
        runtime: &Runtime,
        path: &Path,
        interface: &Interface<'_>,
    ) -> Result<Self, EncoderError> {
        let &Interface { part, input, output, row, dim } = interface;
        let session = runtime.session(part, path)?;
        let wrong = |reason| EncoderError::Interface { part, path: path.to_owned(), reason };
        check(&session.lock().unwrap_or_else(PoisonError::into_inner), interface).map_err(wrong)?;
        let model = Self {
            part,
            session,
            max_batch: runtime.max_batch(),
            input: input.into(),
            output: output.into(),
            row: row.to_vec(),
            dim,
        };
        // Shapes inside an ONNX file may be unknown until it runs.
        model.run(&vec![0.0; 2 * row.iter().product::<usize>()]).map_err(|error| {
            wrong(match error {
                EncoderError::Run { reason, .. } => reason,
                other => other.to_string(),
            })
        })?;
        Ok(model)
    }

    /// The most samples that [`Self::encode`] is to get at once.
    pub(super) fn max_batch(&self) -> usize {
        self.max_batch
    }

    /// The input tensors of `inputs`, made side by side; `tensor` makes one.
    pub(super) fn prepare<I: Sync>(
        &self,
        inputs: &[I],
        tensor: impl Fn(&I) -> Result<Vec<f32>, EncoderError> + Sync,
    ) -> Prepared {
        let tensors: Vec<_> = inputs.par_iter().map(&tensor).collect();
        let mut rows = Vec::with_capacity(tensors.iter().flatten().map(Vec::len).sum());
        let inputs = tensors.into_iter().map(|tensor| tensor.map(|row| rows.extend(row))).collect();
        Prepared { rows, inputs }
    }

    /// The embeddings of what was prepared, each with its own trouble.
    pub(super) fn encode(&self, Prepared { rows, inputs }: Prepared) -> Vec<Result<Embedding, EncoderError>> {
        let (size, count) = (self.row.iter().product(), inputs.iter().flatten().count());
        let mut embeddings = match self.run(&rows) {
            Ok(embeddings) => embeddings.into_iter().map(Ok).collect::<Vec<_>>(),
            // One bad row must not take the others with it.
            Err(_) if count > 1 => rows
                .chunks(size)
                .map(|one| self.run(one).map(|mut embeddings| embeddings.remove(0)))
                .collect(),
            Err(error) => vec![Err(error); count],
        }
        .into_iter();
        let embedded = inputs.into_iter().map(|prepared| {
            prepared.and_then(|()| embeddings.next().expect("one result for every prepared row"))
        });
        embedded.collect()
    }

    /// The embeddings of input tensors that lie one after the other, in one call.
    fn run(&self, rows: &[f32]) -> Result<Vec<Embedding>, EncoderError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let count = rows.len() / self.row.iter().product::<usize>();
        let failed = |reason: String| EncoderError::Run { part: self.part, reason };
        let shape: Vec<usize> = std::iter::once(count).chain(self.row.iter().copied()).collect();
        let ort_failed = |e: ort::Error| failed(e.to_string());
        let tensor = TensorRef::from_array_view((shape, rows)).map_err(ort_failed)?;
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(ort::inputs![self.input.as_str() => tensor]).map_err(ort_failed)?;
        let output = outputs.get(&self.output).ok_or_else(|| failed(format!("no `{}` came", self.output)))?;
        let (shape, values) = output.try_extract_tensor::<f32>().map_err(ort_failed)?;
        if **shape != [count as i64, self.dim as i64] {
            let reason = format!("`{}` has shape {shape:?}, not [{count}, {}]", self.output, self.dim);
            return Err(failed(reason));
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(failed(format!("`{}` holds numbers that are not finite", self.output)));
        }
        Ok(values.chunks_exact(self.dim).map(Embedding::from).collect())
    }
}

/// What in `session` is not as `interface` says.
fn check(session: &Session, interface: &Interface<'_>) -> Result<(), String> {
    let input = find(session.inputs(), interface.input, "input")?;
    let others: Vec<&str> =
        session.inputs().iter().map(Outlet::name).filter(|name| *name != interface.input).collect();
    if !others.is_empty() {
        return Err(format!("it also asks for `{}`; export it with one input", others.join("`, `")));
    }
    let output = find(session.outputs(), interface.output, "output")?;
    let batch: [Option<usize>; 1] = [None];
    let row: Vec<_> = batch.iter().copied().chain(interface.row.iter().copied().map(Some)).collect();
    check_shape(input, &row, "input")?;
    check_shape(output, &[None, Some(interface.dim)], "output")
}

fn find<'a>(outlets: &'a [Outlet], name: &str, kind: &str) -> Result<&'a Outlet, String> {
    outlets.iter().find(|outlet| outlet.name() == name).ok_or_else(|| {
        let names: Vec<&str> = outlets.iter().map(Outlet::name).collect();
        format!("it has no {kind} `{name}`, but `{}`", names.join("`, `"))
    })
}

/// Compares an outlet with the sizes it must have; `None` must be free, and what the file leaves free fits.
fn check_shape(outlet: &Outlet, expected: &[Option<usize>], kind: &str) -> Result<(), String> {
    let name = outlet.name();
    let (ty, shape) = (outlet.dtype().tensor_type(), outlet.dtype().tensor_shape());
    let (Some(TensorElementType::Float32), Some(shape)) = (ty, shape) else {
        return Err(format!("{kind} `{name}` is {}, not a tensor of f32", outlet.dtype()));
    };
    let fits = |(&found, expected): (&i64, &Option<usize>)| match expected {
        None => found < 0,
        Some(expected) => found < 0 || found == *expected as i64,
    };
    // An output's shape may not be known at all.
    if kind == "output" && shape.is_empty() {
        return Ok(());
    }
    if shape.len() == expected.len() && shape.iter().zip(expected).all(fits) {
        return Ok(());
    }
    let spelled = |sizes: Vec<String>| sizes.join(", ");
    let found = spelled(shape.iter().map(|&d| if d < 0 { "?".into() } else { d.to_string() }).collect());
    let expected =
        spelled(expected.iter().map(|d| d.map_or_else(|| "batch".into(), |d| d.to_string())).collect());
    Err(format!("{kind} `{name}` is [{found}], it must be [{expected}] with a free batch size"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_foreign_library_is_an_error_that_says_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = folder.path().join("libonnxruntime.so");
        std::fs::write(&text, "no library").expect("written");
        for path in [folder.path().join("nowhere.so"), text] {
            // Twice: the first failure must not block the second attempt.
            for _ in 0..2 {
                let error = load(std::slice::from_ref(&path)).expect_err("no library").to_string();
                assert!(error.contains("make setup") && error.contains(&*path.to_string_lossy()), "{error}");
                let reason = if path.exists() { "too short" } else { "No such file" };
                assert!(error.contains(reason), "{error}");
            }
        }
    }
}
