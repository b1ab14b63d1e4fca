//! Lets the program find ONNX Runtime where packages install it: `libonnxruntime.so` in `lib/avicuna`, beside the `bin` that the program is in.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-Wl,-rpath,$ORIGIN/../lib/avicuna");
}
