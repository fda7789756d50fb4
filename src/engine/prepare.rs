//! Makes a loaded module fast: converts, freezes, optimises, and looks whether it still answers the
//! same.
//!
//! Called by `torch.rs` once for each device of a model, before its first request. What the
//! operator asked for is used as asked, or is an error; what is chosen here never changes an answer
//! by more than [`TOLERANCE`]. The cost is one forward of the saved module and one of each variant
//! that is tried, nearly always one.

use std::sync::Arc;

use super::difference::relative_difference;
use super::options::{LoadOptions, MemoryFormat, Optimize, Precision, TOLERANCE, Variant};
use super::shim::{self, Conversion};
use super::torch::TorchModule;
use super::{Device, EngineError, Module, Value};

/// What a variant's results are compared with.
struct Reference {
    example: Vec<Value>,
    answer: Value,
}

/// The best variant of `saved` that `options` allow.
pub(super) fn prepare(
    name: &str,
    saved: &TorchModule,
    options: &LoadOptions,
    example: Option<Vec<Value>>,
) -> Result<TorchModule, EngineError> {
    if options.precision == Some(Precision::Bfloat16) && !is_bfloat16_fast(saved.device) {
        tracing::warn!(
            model = name,
            "precision: bfloat16 is slow on this CPU, which has no instructions for it \
             (AVX512_BF16, AMX; on ARM, BF16); precision: float32 is faster"
        );
    }
    let chooses = options.memory_format.is_none() || options.optimize.is_none();
    let convolves = chooses && saved.handle.convolves_in_2d().unwrap_or(false);
    // A GPU's norms are its own library's.
    let convolves = convolves && saved.device == Device::Cpu;
    let variants = options.variants(convolves, example.is_some());
    let mut choice =
        Choice { name, saved, options, example, reference: None, passed_over: Vec::new() };
    for (number, variant) in variants.iter().enumerate() {
        let is_last = number + 1 == variants.len();
        if let Some(module) = choice.tried(*variant, is_last)? {
            return Ok(module);
        }
    }
    // Not reached: the last variant is taken or is an error, and there is always one.
    Err(EngineError::Failed("no variant of the model can be served".to_owned()))
}

/// The variants that were tried so far.
struct Choice<'a> {
    name: &'a str,
    saved: &'a TorchModule,
    options: &'a LoadOptions,
    /// Taken when the reference is made.
    example: Option<Vec<Value>>,
    reference: Option<Reference>,
    /// What was not taken, and why.
    passed_over: Vec<String>,
}

// === impl Choice ===

impl Choice<'_> {
    /// The module, or none with the reason noted. The last one has no reason not to be taken: it is
    /// as the operator asked, or the saved one itself; what libtorch refuses then is an error.
    fn tried(
        &mut self,
        variant: Variant,
        is_last: bool,
    ) -> Result<Option<TorchModule>, EngineError> {
        let module = match self.built(variant) {
            Ok(module) => module,
            Err(error) if is_last => return Err(self.refused(variant, error)),
            Err(error) => return Ok(self.pass_over(variant, first_line(&error))),
        };
        let variant = module.variant;
        if module.writes.attributes {
            // A call to compare would change the module that serves.
            let guessed = variant.memory_format == MemoryFormat::ChannelsLast && !is_last;
            if guessed {
                return Ok(self.pass_over(variant, "a call changes the module's own attributes"));
            }
            self.chose(
                variant,
                "not compared: a call changes the module's own attributes, so each \
                                 worker gets its own copy",
            );
            return Ok(Some(module));
        }
        if variant == Variant::PLAIN && is_last {
            self.chose(variant, "as it was saved");
            return Ok(Some(module));
        }
        let difference = match self.difference_of(&module) {
            None if self.is_guess(variant) && !is_last => {
                return Ok(self.pass_over(variant, "no example input is known"));
            }
            None => {
                self.chose(variant, "not compared: no example input is known");
                return Ok(Some(module));
            }
            Some(Ok(difference)) => difference,
            Some(Err(error)) if is_last => return Err(self.refused(variant, error)),
            Some(Err(error)) => return Ok(self.pass_over(variant, first_line(&error))),
        };
        let exact_enough = difference <= TOLERANCE || variant.precision == Precision::Bfloat16;
        if exact_enough || is_last {
            self.chose(variant, &format!("relative difference {difference:.1e}"));
            return Ok(Some(module));
        }
        if !self.is_deterministic() {
            // Nothing can be compared; what only guesses is dropped, what keeps the meaning stays.
            self.reference = None;
            if variant.memory_format == MemoryFormat::Contiguous {
                self.chose(variant, "not compared: the model answers differently each time");
                return Ok(Some(module));
            }
            return Ok(self.pass_over(variant, "the model answers differently each time"));
        }
        Ok(self.pass_over(variant, format!("relative difference {difference:.1e}")))
    }

    /// Nobody asked for a layout or an algorithm that may not be as exact.
    fn is_guess(&self, variant: Variant) -> bool {
        let Variant { optimize, memory_format, .. } = variant;
        (memory_format == MemoryFormat::ChannelsLast && self.options.memory_format.is_none())
            || (optimize == Optimize::Winograd && self.options.optimize.is_none())
    }

    fn built(&self, variant: Variant) -> Result<TorchModule, EngineError> {
        let conversion = Conversion::new(variant.memory_format, variant.precision);
        let saved = &self.saved.handle;
        // Converting copies: the saved one stays what the others are compared with.
        let converted = || match conversion.is_none() {
            true => Ok(Arc::clone(saved)),
            false => saved.convert(conversion).map(Arc::new),
        };
        let mut variant = variant;
        let handle = match variant.optimize {
            Optimize::Winograd => {
                let (handle, has_one) = saved.freeze_winograd(conversion)?;
                if !has_one {
                    variant.optimize = match variant.precision {
                        Precision::Float32 => Optimize::Exact,
                        Precision::Bfloat16 => Optimize::Freeze,
                    };
                }
                Arc::new(handle)
            }
            Optimize::Exact => Arc::new(converted()?.freeze_exactly()?),
            Optimize::Freeze => Arc::new(converted()?.freeze()?),
            Optimize::Inference => Arc::new(converted()?.optimize_for_inference()?),
            Optimize::None => converted()?,
        };
        let writes = handle.writes()?;
        let time_follows_shapes = !handle.time_depends_on_values()?;
        let (signature, device) = (self.saved.signature.clone(), self.saved.device);
        Ok(TorchModule { handle, signature, device, writes, time_follows_shapes, variant })
    }

    /// How far the variant's answer is from the saved module's, which is asked here once: only after a
    /// variant has shown that a call changes nothing. None without an example, or when the saved module
    /// refuses it.
    fn difference_of(&mut self, module: &TorchModule) -> Option<Result<f64, EngineError>> {
        let answer = match self.example.take() {
            None => module.forward(self.reference.as_ref()?.example.clone()),
            Some(example) => {
                let (saved, answer) = both(self.saved, module, &example);
                let refused = |error| tracing::debug!(model = self.name, %error, "the model refuses the example input");
                let saved = saved.map_err(refused).ok()?;
                self.reference = Some(Reference { example, answer: saved });
                answer
            }
        };
        let expected = &self.reference.as_ref()?.answer;
        Some(answer.map(|answer| relative_difference(expected, &answer)))
    }

    /// Does the saved module give the same answer again?
    fn is_deterministic(&self) -> bool {
        let Some(reference) = &self.reference else { return false };
        self.saved
            .forward(reference.example.clone())
            .is_ok_and(|again| relative_difference(&reference.answer, &again) <= TOLERANCE)
    }

    fn pass_over(&mut self, variant: Variant, why: impl std::fmt::Display) -> Option<TorchModule> {
        self.passed_over.push(format!("{variant} ({why})"));
        None
    }

    fn refused(&self, variant: Variant, error: EngineError) -> EngineError {
        if variant == Variant::PLAIN {
            return error;
        }
        let text = format!(
            "model-config.yaml: {}: libtorch refuses this model with {variant}: {}",
            self.options,
            first_line(&error)
        );
        match error {
            EngineError::OutOfMemory(_) => EngineError::OutOfMemory(text),
            EngineError::InputRefused(_) | EngineError::Failed(_) => EngineError::Failed(text),
        }
    }

    fn chose(&self, variant: Variant, how: &str) {
        let not = match self.passed_over.as_slice() {
            [] => String::new(),
            reasons => format!("; not {}", reasons.join("; not ")),
        };
        tracing::info!(model = self.name, "runs with {variant} ({how}){not}");
    }
}

/// The answers of both modules. The first call of a module takes several times as long as the next ones,
/// and readiness waits for it: the CPU makes both at a time.
fn both(
    saved: &TorchModule,
    module: &TorchModule,
    example: &[Value],
) -> (Result<Value, EngineError>, Result<Value, EngineError>) {
    let call = |module: &TorchModule| module.forward(example.to_vec());
    if saved.device != Device::Cpu {
        return (call(saved), call(module));
    }
    std::thread::scope(|scope| {
        let beside =
            std::thread::Builder::new().name("load".to_owned()).spawn_scoped(scope, || {
                shim::set_num_threads(1);
                call(saved)
            });
        let answer = call(module);
        let saved = match beside {
            Ok(beside) => beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // There is no thread to be had.
            Err(_) => call(saved),
        };
        (saved, answer)
    })
}

fn first_line(error: &EngineError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Are there instructions for `bfloat16`? Every CPU with AMX has AVX512_BF16 too.
fn is_bfloat16_fast(device: Device) -> bool {
    #[cfg(target_arch = "x86_64")]
    let has_instructions = std::arch::is_x86_feature_detected!("avx512bf16");
    #[cfg(target_arch = "aarch64")]
    let has_instructions = std::arch::is_aarch64_feature_detected!("bf16");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has_instructions = false;
    has_instructions || device != Device::Cpu
}
