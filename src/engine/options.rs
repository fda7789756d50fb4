//! What libtorch may do to a model before it serves, and what is tried where nobody says. PURE.
//!
//! The registry reads [`LoadOptions`] from `model-config.yaml`; `torch.rs` tries the variants in
//! order and takes the first whose results agree with those of the module as it was saved.

use std::fmt;

/// `optimize`: what becomes of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimize {
    /// The graph as it was saved.
    None,
    /// Weights become constants; batch norms behind convolutions, and small fully connected layers, are
    /// one pass with what follows them, and max pooling writes maxima alone: not a bit of an answer changes.
    Exact,
    /// As `Exact` (with `bfloat16` as `Freeze`), and convolutions of 3 x 3 by Winograd's algorithm: nearly
    /// twice as fast, and rounded otherwise. What has none that is suited is `Exact` (`Freeze`).
    Winograd,
    /// `torch.jit.freeze`: weights become constants, batch norms are folded. Small fully connected layers
    /// and max pooling as above.
    Freeze,
    /// `torch.jit.optimize_for_inference`: frozen, and laid out and fused for this machine.
    Inference,
}

/// `memory_format`: the layout of weights and inputs of rank 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryFormat {
    /// As they were saved.
    Contiguous,
    /// The channels innermost, which the CPU's convolutions prefer.
    ChannelsLast,
}

/// `precision`: the type of the floating-point weights and inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As they were saved.
    Float32,
    /// All are cast to `bfloat16`, and floating-point results back to `float32`.
    Bfloat16,
}

/// What the operator says; what he does not say is chosen at load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// `optimize`.
    pub optimize: Option<Optimize>,
    /// `memory_format`.
    pub memory_format: Option<MemoryFormat>,
    /// `precision`.
    pub precision: Option<Precision>,
}

/// One way to run a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// What becomes of the graph.
    pub optimize: Optimize,
    /// The layout.
    pub memory_format: MemoryFormat,
    /// The precision.
    pub precision: Precision,
}

/// What the results of a variant that nobody asked for may differ by: the largest absolute
/// difference over the largest absolute value.
pub const TOLERANCE: f64 = 1e-5;

// === impl Variant ===

impl Variant {
    /// The module as it was saved.
    pub const PLAIN: Variant = Variant {
        optimize: Optimize::None,
        memory_format: MemoryFormat::Contiguous,
        precision: Precision::Float32,
    };
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (optimize, format, precision) = (self.optimize, self.memory_format, self.precision);
        write!(f, "optimize: {optimize}, memory_format: {format}, precision: {precision}")
    }
}

// === impl LoadOptions ===

impl LoadOptions {
    /// What to try, the fastest first. The last is what remains when the others are not as exact.
    ///
    /// `convolves`: the graph has a convolution over two dimensions, and runs on the CPU:
    /// channels_last is the fastest, and batch norms need not be folded to be. `checkable`: results can
    /// be compared; channels_last and Winograd's algorithm are guesses that are never made without.
    pub fn variants(&self, convolves: bool, checkable: bool) -> Vec<Variant> {
        use MemoryFormat::{ChannelsLast, Contiguous};
        // An operator who names the graph's treatment means that one and no other; `none` and
        // `inference` (which lays out by itself) also settle the layout.
        let precision = self.precision.unwrap_or(Precision::Float32);
        let treatments = match self.optimize {
            Some(named) => vec![named],
            None => {
                // Who asks for the saved layout wants its numbers.
                let may_guess = checkable && self.memory_format != Some(Contiguous);
                let guessed = (convolves && may_guess).then_some(Optimize::Winograd);
                // Norms of narrow floats are not fused.
                let fuses = convolves && precision == Precision::Float32;
                let sure = if fuses { Optimize::Exact } else { Optimize::Freeze };
                guessed.into_iter().chain([sure, Optimize::None]).collect()
            }
        };
        let lays_out = |optimize| !matches!(optimize, Optimize::None | Optimize::Inference);
        let formats = |optimize| match self.memory_format {
            Some(named) => vec![named],
            None if optimize == Optimize::Winograd && self.optimize.is_none() => vec![ChannelsLast],
            None if lays_out(optimize) && convolves && checkable => {
                vec![ChannelsLast, Contiguous]
            }
            None => vec![Contiguous],
        };
        let variants = treatments.into_iter().flat_map(|optimize| {
            let variant = move |memory_format| Variant { optimize, memory_format, precision };
            formats(optimize).into_iter().map(variant)
        });
        variants.collect()
    }
}

/// As `model-config.yaml` says it.
impl fmt::Display for LoadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let optimize = self.optimize.map(|value| format!("optimize: {value}"));
        let memory_format = self.memory_format.map(|value| format!("memory_format: {value}"));
        let precision = self.precision.map(|value| format!("precision: {value}"));
        let said: Vec<String> =
            [optimize, memory_format, precision].into_iter().flatten().collect();
        f.write_str(&said.join(", "))
    }
}

// === impl Optimize ===

impl Optimize {
    /// Every value, as `model-config.yaml` writes it.
    pub const NAMES: [(&str, Optimize); 5] = [
        ("none", Optimize::None),
        ("exact", Optimize::Exact),
        ("winograd", Optimize::Winograd),
        ("freeze", Optimize::Freeze),
        ("inference", Optimize::Inference),
    ];
}

impl MemoryFormat {
    /// Every value, as `model-config.yaml` writes it.
    pub const NAMES: [(&str, MemoryFormat); 2] =
        [("contiguous", MemoryFormat::Contiguous), ("channels_last", MemoryFormat::ChannelsLast)];
}

impl Precision {
    /// Every value, as `model-config.yaml` writes it.
    pub const NAMES: [(&str, Precision); 2] =
        [("float32", Precision::Float32), ("bfloat16", Precision::Bfloat16)];
}

fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> &'static str {
    names.iter().find(|(_, known)| known == value).map_or("", |(name, _)| name)
}

impl fmt::Display for Optimize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&Optimize::NAMES, self))
    }
}

impl fmt::Display for MemoryFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&MemoryFormat::NAMES, self))
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&Precision::NAMES, self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(options: LoadOptions, convolves: bool, checkable: bool) -> Vec<String> {
        let short = |variant: &Variant| format!("{} {}", variant.optimize, variant.memory_format);
        options.variants(convolves, checkable).iter().map(short).collect()
    }

    #[test]
    fn without_a_word_the_fastest_is_tried_first_and_the_saved_module_last() {
        let silent = LoadOptions::default();
        let all = [
            "winograd channels_last",
            "exact channels_last",
            "exact contiguous",
            "none contiguous",
        ];
        assert_eq!(tried(silent, true, true), all);
        assert_eq!(tried(silent, true, false), all[2..]);
        let as_saved = LoadOptions { memory_format: Some(MemoryFormat::Contiguous), ..silent };
        assert_eq!(tried(as_saved, true, true), all[2..]);
        assert_eq!(tried(silent, false, true), ["freeze contiguous", "none contiguous"]);
        assert_eq!(silent.variants(true, true)[3], Variant::PLAIN);
        let narrow = LoadOptions { precision: Some(Precision::Bfloat16), ..silent };
        let all = [
            "winograd channels_last",
            "freeze channels_last",
            "freeze contiguous",
            "none contiguous",
        ];
        assert_eq!(tried(narrow, true, true), all);
    }

    #[test]
    fn what_is_named_is_not_chosen() {
        let with =
            |optimize, memory_format| LoadOptions { optimize, memory_format, precision: None };
        let last = Some(MemoryFormat::ChannelsLast);
        assert_eq!(tried(with(Some(Optimize::None), None), true, true), ["none contiguous"]);
        assert_eq!(
            tried(with(Some(Optimize::Inference), None), true, true),
            ["inference contiguous"]
        );
        assert_eq!(
            tried(with(Some(Optimize::Freeze), None), true, true),
            ["freeze channels_last", "freeze contiguous"]
        );
        assert_eq!(
            tried(with(None, last), false, false),
            ["freeze channels_last", "none channels_last"]
        );
        assert_eq!(
            tried(with(Some(Optimize::Freeze), last), false, false),
            ["freeze channels_last"]
        );
    }
}
