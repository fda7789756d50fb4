//! Every way to run a model gives the answers of the module as it was saved.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use torchfront::engine::options::{MemoryFormat, Optimize, Precision, TOLERANCE};
use torchfront::engine::{
    DType, Device, Elements, Engine, EngineError, HostTensor, LoadOptions, Module, TorchEngine,
    Value,
};

use crate::support::{Answer, TestServer, checkout, close, golden_archives, request};

/// The files of a small archive.
fn files_of(archive: &str) -> Vec<(String, Vec<u8>)> {
    let file = checkout(&format!("tests/goldens/archives/{archive}.mar"));
    let mut zip = zip::ZipArchive::new(fs::File::open(file).unwrap()).unwrap();
    (0..zip.len())
        .map(|index| {
            let mut file = zip.by_index(index).unwrap();
            let mut content = Vec::new();
            file.read_to_end(&mut content).unwrap();
            (file.name().unwrap().into_owned(), content)
        })
        .collect()
}

/// The module of a small archive, as it was saved.
fn saved(archive: &str) -> Arc<dyn Module> {
    saved_on(archive, Device::Cpu)
}

/// The same on a device.
pub(crate) fn saved_on(archive: &str, device: Device) -> Arc<dyn Module> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.pt");
    let (_, content) = files_of(archive).into_iter().find(|(name, _)| name == "model.pt").unwrap();
    fs::write(&file, content).unwrap();
    TorchEngine.load(archive, &file, device).unwrap()
}

fn prepared(saved: &Arc<dyn Module>, options: LoadOptions, example: Vec<Value>) -> Arc<dyn Module> {
    saved.prepared("test", &options, Some(example)).unwrap().unwrap()
}

/// A tensor that is not the same everywhere.
fn input(shape: &[usize], scale: f32) -> Vec<Value> {
    let count = shape.iter().product::<usize>();
    let elements = (0..count).map(|n| ((n * 37 % 101) as f32 / 50.0 - 1.0) * scale).collect();
    vec![HostTensor::new(shape.to_vec(), Elements::Float32(elements)).unwrap().into()]
}

fn floats(value: &Value) -> Vec<f32> {
    let Value::Tensor(tensor) = value else { panic!("{value:?}") };
    match tensor.elements() {
        Elements::Float32(values) => values.clone(),
        _ => panic!("{tensor:?}"),
    }
}

fn relative_difference(expected: &[f32], got: &[f32]) -> f64 {
    assert_eq!(expected.len(), got.len());
    let greatest = |values: &mut dyn Iterator<Item = f32>| values.map(f32::abs).fold(0.0, f32::max);
    let difference = greatest(&mut expected.iter().zip(got).map(|(a, b)| a - b));
    f64::from(difference) / f64::from(greatest(&mut expected.iter().copied()))
}

/// Every setting, and every one left open.
fn all_options() -> Vec<LoadOptions> {
    let named = Optimize::NAMES.map(|(_, optimize)| Some(optimize));
    let formats = [None, Some(MemoryFormat::Contiguous), Some(MemoryFormat::ChannelsLast)];
    let precisions = [None, Some(Precision::Float32), Some(Precision::Bfloat16)];
    let mut all = Vec::new();
    for optimize in std::iter::once(None).chain(named) {
        for memory_format in formats {
            for precision in precisions {
                all.push(LoadOptions { optimize, memory_format, precision });
            }
        }
    }
    all
}

#[test]
fn a_graph_with_a_loop_or_a_state_is_known_to_take_its_time() {
    let follows = |archive: &str, example| {
        prepared(&saved(archive), LoadOptions::default(), example).time_follows_shapes()
    };
    assert!(follows("mlp", input(&[1, 4], 1.0)));
    assert!(!follows("slow", input(&[1, 2], 1.0)), "it loops");
    assert!(!follows("counter", input(&[1, 1], 1.0)), "it counts its calls");
}

#[test]
fn every_setting_answers_as_the_saved_module() {
    for (archive, sample) in [("tiny_convnet", &[3, 17, 16][..]), ("mlp", &[4])] {
        let saved = saved(archive);
        let shape = |rows| [&[rows], sample].concat();
        for options in all_options() {
            let module = prepared(&saved, options, input(&shape(1), 1.0));
            for (rows, scale) in [(1, 1.0), (3, 2.0), (8, 0.5)] {
                let arguments = input(&shape(rows), scale);
                let expected = floats(&saved.forward(arguments.clone()).unwrap());
                // Also checks that results are `float32` whatever the module was cast to.
                let got = floats(&module.forward(arguments).unwrap());
                let difference = relative_difference(&expected, &got);
                let tolerance = match options.precision {
                    Some(Precision::Bfloat16) => 0.03,
                    _ => TOLERANCE,
                };
                assert!(difference <= tolerance, "{archive} [{options}]: {difference:e}");
                if options.precision == Some(Precision::Bfloat16) {
                    assert!(difference > TOLERANCE, "{archive} [{options}]: nothing was cast");
                }
            }
            // Only freezing shows that a batch norm in eval mode writes nothing.
            if options.optimize != Some(Optimize::None) {
                assert!(module.replica().unwrap().is_none(), "{archive} [{options}] is shared");
            }
        }
    }
}

/// Convolutions with all that may follow them: a shortcut, activations, none, another user.
#[test]
fn exact_is_the_saved_module_to_the_last_bit() {
    for archive in ["tiny_convnet", "norms"] {
        let saved = saved(archive);
        for (format, rows, size) in [
            (MemoryFormat::Contiguous, 1, [17, 16]),
            (MemoryFormat::Contiguous, 3, [33, 5]),
            (MemoryFormat::ChannelsLast, 2, [8, 8]),
        ] {
            let options = LoadOptions {
                optimize: Some(Optimize::Exact),
                memory_format: Some(format),
                precision: None,
            };
            let arguments = input(&[rows, 3, size[0], size[1]], 1.5);
            let module = prepared(&saved, options, arguments.clone());
            let expected = floats(&saved.forward(arguments.clone()).unwrap());
            for _ in 0..2 {
                let got = floats(&module.forward(arguments.clone()).unwrap());
                match format {
                    MemoryFormat::Contiguous => assert_eq!(expected, got, "{archive}"),
                    // Convolutions of this layout may add in another order.
                    MemoryFormat::ChannelsLast => {
                        assert!(relative_difference(&expected, &got) < 1e-6, "{archive}");
                    }
                }
            }
        }
    }
}

/// Layers that Winograd's algorithm is for and others, of odd sizes and the smallest, on one thread and on
/// two, with what may follow them.
#[test]
fn winograd_is_as_near_to_the_saved_module_as_another_order_of_adding() {
    let saved = saved("squares");
    let silent = LoadOptions::default();
    for (rows, size) in [(1, [9, 8]), (3, [33, 5]), (2, [5, 4]), (40, [14, 14])] {
        let arguments = input(&[rows, 3, size[0], size[1]], 1.5);
        let expected = floats(&saved.forward(arguments.clone()).unwrap());
        let of = |optimize, memory_format| {
            let options = LoadOptions { optimize, memory_format, precision: None };
            let module = prepared(&saved, options, arguments.clone());
            let got = floats(&module.forward(arguments.clone()).unwrap());
            assert_eq!(got, floats(&module.forward(arguments.clone()).unwrap()), "always the same");
            assert!(relative_difference(&expected, &got) < 2e-6, "{options:?}");
            got
        };
        let last = Some(MemoryFormat::ChannelsLast);
        let winograd = of(Some(Optimize::Winograd), last);
        of(Some(Optimize::Winograd), Some(MemoryFormat::Contiguous));
        assert_eq!(winograd, of(silent.optimize, silent.memory_format), "the default");
        if has_winograd() {
            assert_ne!(winograd, of(Some(Optimize::Exact), last), "it was used");
        }
        // The first row by itself.
        let module = prepared(&saved, silent, arguments.clone());
        let alone = floats(&module.forward(input(&[1, 3, size[0], size[1]], 1.5)).unwrap());
        assert!(relative_difference(&winograd[..alone.len()], &alone) < 2e-6);
    }
    // What does not fit is refused as libtorch's own convolution does it.
    let module = prepared(&saved, silent, input(&[1, 3, 9, 8], 1.0));
    for module in [saved, module] {
        let refused = module.forward(input(&[1, 3, 2, 2], 1.0)).unwrap_err().to_string();
        assert!(
            refused.contains("Kernel size can't be greater than actual input size"),
            "{refused}"
        );
    }
}

/// Layers that read something which is changed before the activation behind them.
#[test]
fn a_layer_reads_its_input_before_others_change_it() {
    let saved = saved("overtaken");
    let arguments = input(&[2, 3, 9, 8], 1.5);
    let expected = floats(&saved.forward(arguments.clone()).unwrap());
    for optimize in Optimize::NAMES.map(|(_, optimize)| Some(optimize)) {
        let options = LoadOptions { optimize, ..LoadOptions::default() };
        let module = prepared(&saved, options, arguments.clone());
        let got = floats(&module.forward(arguments.clone()).unwrap());
        let difference = relative_difference(&expected, &got);
        assert!(difference < 2e-6, "[{options}]: {difference:e}");
    }
}

/// The places of the maxima are not needed; the maxima are the same, what is no number included.
#[test]
fn max_pooling_gives_the_saved_maxima_to_the_last_bit() {
    let saved = saved("pools");
    for (format, size) in [
        (MemoryFormat::ChannelsLast, [13, 8]),
        (MemoryFormat::ChannelsLast, [4, 3]),
        (MemoryFormat::Contiguous, [13, 8]),
    ] {
        let mut numbers: Vec<f32> =
            (0..2 * 5 * size[0] * size[1]).map(|n| (n * 37 % 101) as f32 - 50.0).collect();
        (numbers[7], numbers[30], numbers[31]) = (f32::NAN, f32::NEG_INFINITY, f32::INFINITY);
        let shape = vec![2, 5, size[0], size[1]];
        let numbers = HostTensor::new(shape, Elements::Float32(numbers)).unwrap();
        let arguments = vec![Value::from(numbers)];
        let bits = |module: &Arc<dyn Module>| -> Vec<u32> {
            let answer = module.forward(arguments.clone()).unwrap();
            // One NaN is as good as another.
            floats(&answer).iter().map(|x| if x.is_nan() { 0 } else { x.to_bits() }).collect()
        };
        let of = |optimize, precision| {
            let (optimize, memory_format) = (Some(optimize), Some(format));
            let options = LoadOptions { optimize, memory_format, precision };
            prepared(&saved, options, arguments.clone())
        };
        for optimize in [Optimize::Exact, Optimize::Freeze, Optimize::Winograd] {
            assert_eq!(bits(&saved), bits(&of(optimize, None)), "{optimize}, {format}");
        }
        let bfloat16 = |optimize| bits(&of(optimize, Some(Precision::Bfloat16)));
        assert_eq!(bfloat16(Optimize::None), bfloat16(Optimize::Freeze), "{format}");
    }
    // What libtorch refuses is refused.
    let module = prepared(&saved, LoadOptions::default(), input(&[2, 5, 4, 3], 1.0));
    assert!(module.forward(input(&[2, 5, 1, 1], 1.0)).is_err());
}

/// The processors that the kernel is made for.
fn has_winograd() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Fully connected layers with all that may come before and next, small ones and, with many rows,
/// large ones.
#[test]
fn fused_linear_layers_are_the_saved_ones_to_the_last_bit() {
    for (archive, columns) in [("linears", 6), ("mlp", 4)] {
        let saved = saved(archive);
        for optimize in [Optimize::Exact, Optimize::Freeze] {
            let options = LoadOptions { optimize: Some(optimize), ..LoadOptions::default() };
            for rows in [1, 2, 3, 8, 32, 100, 4_000] {
                let arguments = input(&[rows, columns], 1.5);
                let module = prepared(&saved, options, arguments.clone());
                let expected = floats(&saved.forward(arguments.clone()).unwrap());
                for _ in 0..2 {
                    let got = floats(&module.forward(arguments.clone()).unwrap());
                    assert_eq!(expected, got, "{archive} [{options}], {rows} rows");
                }
            }
        }
    }
}

#[test]
fn what_a_linear_layer_refuses_a_fused_one_refuses_too() {
    let saved = saved("mlp");
    let module = prepared(&saved, LoadOptions::default(), input(&[1, 4], 1.0));
    let columns = input(&[2, 3], 1.0);
    let integers = HostTensor::new(vec![1, 4], Elements::Int64(vec![1, 2, 3, 4])).unwrap();
    for arguments in [columns, vec![integers.into()]] {
        let expected = saved.forward(arguments.clone()).unwrap_err();
        let got = module.forward(arguments).unwrap_err();
        assert!(matches!(
            (&expected, &got),
            (EngineError::InputRefused(_), EngineError::InputRefused(_))
        ));
    }
    // No rows are no error.
    let none = module.forward(input(&[0, 4], 1.0)).unwrap();
    assert_eq!(floats(&none), floats(&saved.forward(input(&[0, 4], 1.0)).unwrap()));
}

#[test]
fn a_module_that_counts_its_calls_still_counts_and_none_is_counted_before_the_first() {
    let bfloat16 = LoadOptions { precision: Some(Precision::Bfloat16), ..LoadOptions::default() };
    let inference = LoadOptions { optimize: Some(Optimize::Inference), ..LoadOptions::default() };
    for archive in ["counter", "counter_attribute"] {
        for options in [LoadOptions::default(), bfloat16, inference] {
            let saved = saved(archive);
            let module = prepared(&saved, options, input(&[1, 4], 1.0));
            let worker = module.replica().unwrap().expect("each worker has a copy of its own");
            let other = module.replica().unwrap().unwrap();
            let count = |module: &Arc<dyn Module>| {
                let Value::Tensor(tensor) = module.forward(input(&[1, 4], 1.0)).unwrap() else {
                    panic!("{archive}")
                };
                assert_eq!(tensor.dtype(), DType::Int64);
                tensor.elements().clone()
            };
            let counts = [count(&worker), count(&worker), count(&other), count(&worker)];
            let expected = [1, 2, 1, 3].map(|count| Elements::Int64(vec![count]));
            assert_eq!(counts, expected, "{archive} [{options}]");
        }
    }
}

/// A convolution keeps its weights beside a buffer of rank 4 that each call writes to.
#[test]
fn a_module_with_a_state_is_converted_with_it_and_starts_from_what_was_saved() {
    let arguments = || input(&[2, 3, 9, 8], 1.5);
    let calls = |module: &dyn Module| -> Vec<f32> {
        (0..3).flat_map(|_| floats(&module.forward(arguments()).unwrap())).collect()
    };
    let expected = calls(&*saved("running_convolution"));
    for optimize in Optimize::NAMES.map(|(_, optimize)| Some(optimize)) {
        for memory_format in [MemoryFormat::Contiguous, MemoryFormat::ChannelsLast] {
            let memory_format = Some(memory_format);
            let options = LoadOptions { optimize, memory_format, precision: None };
            let saved = saved("running_convolution");
            let module = prepared(&saved, options, arguments());
            for worker in 0..2 {
                let replica = module.replica().unwrap().expect("a state of its own");
                let difference = relative_difference(&expected, &calls(&*replica));
                assert!(difference < 2e-6, "[{options}], worker {worker}: {difference:e}");
            }
        }
    }
}

#[test]
fn a_module_is_served_also_where_the_example_does_not_suit_it() {
    let saved = saved("mlp");
    for example in [None, Some(input(&[1, 5], 1.0)), Some(Vec::new())] {
        let module = saved.prepared("mlp", &LoadOptions::default(), example).unwrap().unwrap();
        let expected = floats(&saved.forward(input(&[2, 4], 1.0)).unwrap());
        let got = floats(&module.forward(input(&[2, 4], 1.0)).unwrap());
        assert!(relative_difference(&expected, &got) <= TOLERANCE);
    }
}

#[test]
fn other_arguments_than_float_tensors_pass_a_cast_unchanged() {
    let module = saved("list_str_in");
    let options = LoadOptions { precision: Some(Precision::Bfloat16), ..LoadOptions::default() };
    let module = prepared(&module, options, Vec::new());
    let texts = Value::List(vec![Value::Str("a banana".into())]);
    let Value::Tensor(tensor) = module.forward(vec![texts]).unwrap() else { panic!() };
    assert_eq!(*tensor.elements(), Elements::Int64(vec![8, 4, 2]));
}

/// A model folder in `store`: the small archive with these lines in its `model-config.yaml`.
fn with_config(store: &Path, archive: &str, name: &str, lines: &str) {
    let folder = store.join(name);
    for (file, content) in files_of(archive) {
        let path = folder.join(&file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let content = if file == "MAR-INF/MANIFEST.json" {
            let mut manifest: serde_json::Value = serde_json::from_slice(&content).unwrap();
            manifest["model"]["configFile"] = "model-config.yaml".into();
            manifest["model"]["modelName"] = name.into();
            manifest.to_string().into_bytes()
        } else {
            content
        };
        fs::write(path, content).unwrap();
    }
    fs::write(folder.join("model-config.yaml"), lines).unwrap();
}

fn register(server: &TestServer, name: &str) -> Answer {
    let path = format!("/models?url={name}&initial_workers=1&synchronous=true");
    request(server.management, "POST", &path, &[], b"")
}

#[test]
fn settings_of_a_model_config_are_used_and_wrong_ones_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let fast = "optimize: freeze\nmemory_format: channels_last\nprecision: bfloat16\n\
                intra_op_threads: 1\nwarm_up: [1, 2]\n";
    with_config(&store, "tiny_convnet", "fast", fast);
    let wrong = [
        (
            "optimize",
            "fast",
            "optimize is \"fast\"; it must be one of none, exact, winograd, freeze, inference",
        ),
        ("memory_format", "nhwc", "memory_format is \"nhwc\"; it must be one of contiguous"),
        ("precision", "float16", "precision is \"float16\"; it must be one of float32, bfloat16"),
        ("intra_op_threads", "0", "intra_op_threads is 0; it must be a whole number from 1 to 256"),
        ("warm_up", "8", "warm_up is 8; it must be a list of at most 16 batch sizes"),
    ];
    for (key, value, _) in wrong {
        with_config(&store, "tiny_convnet", &format!("wrong_{key}"), &format!("{key}: {value}\n"));
    }
    let server = TestServer::start_in(folder, &store, &["enable_model_api=true"]);
    for (key, _, message) in wrong {
        let answer = register(&server, &format!("wrong_{key}"));
        assert_eq!(answer.status, 400, "{}", answer.text());
        let (_, _, text) = answer.error();
        assert!(text.contains(&format!("model-config.yaml: {message}")), "{text}");
    }
    let answer = register(&server, "fast");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let picture = &golden_archives()["tiny_convnet"]["pictures"][0];
    let image = fs::read(checkout(picture["file"].as_str().unwrap())).unwrap();
    let answer = request(server.inference, "PUT", "/predictions/fast", &[], &image);
    assert_eq!(answer.status, 200, "{}", answer.text());
    close(&answer.json(), &picture["answer"], 0.02);
}
