//! Compiles the libtorch shim and tells the linker where the binary finds libtorch when it runs.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "torch")]
    libtorch();
}

/// The rpath order: beside a packaged binary first (`../lib/torchfront`), then the libtorch that it
/// was built with. So no `LD_LIBRARY_PATH` is needed.
#[cfg(feature = "torch")]
fn libtorch() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let sources = ["blocks", "linears", "norms", "pools", "winograd"]
        .map(|name| [format!("{name}.cpp"), format!("{name}.h")]);
    let others = ["shim.cpp", "capability.h", "graph.h", "winograd_kernel.h"];
    for file in sources.iter().flatten().map(String::as_str).chain(others) {
        println!("cargo:rerun-if-changed=src/engine/{file}");
    }
    let libtorch = std::env::var_os("LIBTORCH").map(std::path::PathBuf::from);
    let Some(libtorch) = libtorch.and_then(|path| path.canonicalize().ok()) else {
        println!(
            "cargo:warning=LIBTORCH does not point to a libtorch; run `make build` once, it fetches one"
        );
        std::process::exit(1);
    };
    let (library, include) = (libtorch.join("lib"), libtorch.join("include"));
    let mut shim = cc::Build::new();
    shim.cpp(true)
        .std("c++20")
        .warnings(false)
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .flag_if_supported("-fvisibility=hidden")
        .define("GLIBCXX_USE_CXX11_ABI", "1");
    // Kernels: optimised in debug builds, too, and rounding as libtorch's own do.
    shim.clone()
        .opt_level(3)
        .flag_if_supported("-ffp-contract=fast")
        .files(
            ["linears", "norms", "pools", "winograd"].map(|name| format!("src/engine/{name}.cpp")),
        )
        .compile("torchfront_kernels");
    shim.files(["src/engine/shim.cpp", "src/engine/blocks.cpp"]).compile("torchfront_shim");
    // Behind what uses it.
    println!("cargo:rustc-link-lib=static=torchfront_kernels");
    println!("cargo:rustc-link-search=native={}", library.display());
    println!("cargo:rustc-link-lib=dylib=torch_cpu");
    println!("cargo:rustc-link-lib=dylib=c10");
    let origin = if cfg!(target_os = "macos") { "@loader_path" } else { "$ORIGIN" };
    for path in [format!("{origin}/../lib/torchfront"), library.display().to_string()] {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{path}");
    }
}
