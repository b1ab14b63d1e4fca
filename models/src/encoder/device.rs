//! Where the encoders and the LLM run.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;
use serde::{Deserialize, Serialize};

use super::EncoderError;

/// What the user asked for: `auto`, `cpu` or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The first GPU where this build and this machine can use one, the CPU otherwise; the log says which and why.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// This GPU, or an error.
    Cuda(usize),
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => return Ok(Self::Auto),
            "cpu" => return Ok(Self::Cpu),
            _ => {}
        }
        let index = text.strip_prefix("cuda:").and_then(|index| index.parse().ok());
        index
            .map(Self::Cuda)
            .ok_or_else(|| format!("`{text}` is no device; use \"auto\", \"cpu\" or \"cuda:N\" (\"cuda:0\")"))
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

/// Where one encoder runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// The CPU.
    Cpu,
    /// This GPU.
    Cuda {
        /// Its number.
        index: usize,
        /// Whether the CPU takes over, with a warning, when the encoder cannot be placed there.
        or_cpu: bool,
    },
}

/// A choice made real.
#[derive(Debug, Clone)]
pub struct Devices {
    /// For the encoders.
    pub encoders: Placement,
    /// For adapters and LLM.
    pub llm: Device,
}

impl Devices {
    /// Opens what `choice` names.
    ///
    /// # Errors
    /// When a GPU was asked for by number and cannot be used.
    pub fn open(choice: DeviceChoice) -> Result<Self, EncoderError> {
        let cpu = Self { encoders: Placement::Cpu, llm: Device::Cpu };
        match choice {
            DeviceChoice::Cpu => Ok(cpu),
            DeviceChoice::Cuda(index) => {
                let llm = open_cuda(index)
                    .map_err(|reason| EncoderError::Device { device: choice.to_string(), reason })?;
                Ok(Self { encoders: Placement::Cuda { index, or_cpu: false }, llm })
            }
            DeviceChoice::Auto => Ok(match open_cuda(0) {
                Ok(llm) => Self { encoders: Placement::Cuda { index: 0, or_cpu: true }, llm },
                Err(reason) => {
                    tracing::info!(%reason, "device = \"auto\": running on the CPU");
                    cpu
                }
            }),
        }
    }
}

/// The GPU `index`, or why it cannot be used.
fn open_cuda(index: usize) -> Result<Device, String> {
    if !cfg!(feature = "cuda") {
        let reason =
            "this program was built without CUDA; build it with `--features cuda`, or use device = \"cpu\"";
        return Err(reason.into());
    }
    Device::new_cuda(index)
        .map_err(|e| format!("{e}; check `nvidia-smi` and the driver, or use device = \"cpu\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_and_written_the_same() {
        for text in ["auto", "cpu", "cuda:0", "cuda:12"] {
            assert_eq!(text.parse::<DeviceChoice>().map(|choice| choice.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "gpu", "cuda", "cuda:", "cuda:-1", "cuda:x", "CPU"] {
            let message = text.parse::<DeviceChoice>().expect_err(text);
            assert!(message.contains("cuda:N"), "{message}");
        }
    }

    #[test]
    fn what_is_not_there_is_an_error_by_number_and_a_fallback_under_auto() {
        assert_eq!(Devices::open(DeviceChoice::Cpu).expect("always there").encoders, Placement::Cpu);
        if cfg!(feature = "cuda") {
            return;
        }
        let error = Devices::open(DeviceChoice::Cuda(3)).expect_err("built without CUDA").to_string();
        assert!(error.contains("cuda:3") && error.contains("--features cuda"), "{error}");
        let auto = Devices::open(DeviceChoice::Auto).expect("falls back");
        assert_eq!(auto.encoders, Placement::Cpu);
        assert!(auto.llm.is_cpu());
    }
}
