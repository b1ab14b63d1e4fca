"""Our LLM decoder beside llama.cpp: the same weights, token counts and threads, in turns.

    pip install llama-cpp-python==0.3.36
    cargo build --release -p avicuna-models --example llm_bench
    python scripts/bench_llm.py MODEL.gguf [--ours target/release/examples/llm_bench] [--rounds 5]

One window is a 165-token prefix, a 15-token question and a 40-token answer, greedy. Each round runs both programs once, so that
another load on the machine disturbs both alike; the best of all rounds counts. Questions after the first of a window share its
prefix in both programs.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

PREFIX, QUESTION, ANSWER = 165, 15, 40
CASES = [(1, 1), (1, 3), (8, 1)]


def ids(count: int, seed: int) -> list[int]:
    return [100 + (i * 7919 + seed * 104_729) % 20_000 for i in range(count)]


class LlamaCpp:
    def __init__(self, model: str, threads: int):
        import llama_cpp

        self.c = c = llama_cpp
        c.llama_backend_init()
        self.model = c.llama_model_load_from_file(model.encode(), c.llama_model_default_params())
        params = c.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch, params.n_seq_max = 4096, 2048, 512, 16
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True
        self.context = c.llama_init_from_model(self.model, params)
        self.vocab = c.llama_vocab_n_tokens(c.llama_model_get_vocab(self.model))
        self.batch = c.llama_batch_init(2048, 0, 1)

    def decode(self, rows: list[tuple[int, int, int, bool]]) -> list[int]:
        """Reads (token, position, sequence, wanted) and returns the best next token of each wanted row."""
        for i, (token, position, sequence, wanted) in enumerate(rows):
            self.batch.token[i], self.batch.pos[i], self.batch.logits[i] = token, position, wanted
            self.batch.n_seq_id[i], self.batch.seq_id[i][0] = 1, sequence
        self.batch.n_tokens = len(rows)
        if self.c.llama_decode(self.context, self.batch) != 0:
            raise SystemExit("llama.cpp could not read the batch")
        import numpy

        best = []
        for i, row in enumerate(rows):
            if row[3]:
                logits = numpy.ctypeslib.as_array(self.c.llama_get_logits_ith(self.context, i), (self.vocab,))
                best.append(int(logits.argmax()))
        return best

    def run(self, windows: int, questions: int) -> None:
        memory = self.c.llama_get_memory(self.context)
        self.c.llama_memory_clear(memory, True)
        for w in range(windows):
            self.decode([(t, p, w * questions, p == PREFIX - 1) for p, t in enumerate(ids(PREFIX, w))])
            for q in range(1, questions):
                self.c.llama_memory_seq_cp(memory, w * questions, w * questions + q, 0, PREFIX)
        sequences = range(windows * questions)
        rows = []
        for s in sequences:
            asked = ids(QUESTION, s % questions + 50)
            rows += [(t, PREFIX + p, s, p == QUESTION - 1) for p, t in enumerate(asked)]
        best = self.decode(rows)
        for step in range(ANSWER - 1):
            best = self.decode([(best[s], PREFIX + QUESTION + step, s, True) for s in sequences])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--ours", default="target/release/examples/llm_bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    theirs = LlamaCpp(args.model, args.threads)
    theirs.run(1, 1)
    best: dict[tuple, dict] = {}

    def keep(who: str, case: tuple[int, int], seconds: float, cpu: float, peak: float) -> None:
        known = best.setdefault((who, case), {"seconds": seconds, "cpu": cpu, "peak": peak})
        known["seconds"], known["cpu"] = min(known["seconds"], seconds), min(known["cpu"], cpu)

    for _ in range(args.rounds):
        for case in CASES:
            usage, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
            theirs.run(*case)
            seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
            cpu = after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime
            keep("llama.cpp", case, seconds, cpu, after.ru_maxrss / 1024)
        environment = os.environ | {"RAYON_NUM_THREADS": str(args.threads)}
        ours = subprocess.run([args.ours, args.model, "1"], capture_output=True, text=True, env=environment, check=False)
        if ours.returncode != 0:
            sys.exit(ours.stderr)
        for line in ours.stdout.splitlines():
            if line.startswith("json "):
                told = json.loads(line[5:])
                case = told["windows"], told["questions"]
                keep("ours", case, told["seconds"], told["cpu_seconds"], told["peak_mib"])
            elif line.startswith("linear"):
                print(line)

    print(f"{'windows x questions':20} {'ours':>10} {'llama.cpp':>10} {'ratio':>6} {'CPU ratio':>10} {'MiB ours':>9} {'MiB llama.cpp':>14}")
    for case in CASES:
        us, them = best["ours", case], best["llama.cpp", case]
        rate = [case[0] / run["seconds"] for run in (us, them)]
        print(
            f"{case[0]:>7} x {case[1]:<10} {rate[0]:>8.2f}/s {rate[1]:>8.2f}/s {rate[0] / rate[1]:>6.2f} {them['cpu'] / us['cpu']:>10.2f}"
            f" {us['peak']:>9.0f} {them['peak']:>14.0f}"
        )
    one, three = best["ours", (1, 1)]["seconds"], best["ours", (1, 3)]["seconds"]
    print(f"three questions on one window cost {three / one:.2f} times one")


if __name__ == "__main__":
    main()
