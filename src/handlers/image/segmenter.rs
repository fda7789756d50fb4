//! `image_segmenter`: a picture in, the class of each of its pixels out, with TorchServe's numbers.
//!
//! Made by `handlers::built_in`. Pictures are made ready as for `image_classifier`. The model gives
//! `[pictures, classes, height, width]`, as `out` of a dict (torchvision's form) or alone; the answer
//! is a list of rows of `[class, probability]`, both floats. A mask of 224 x 224 is 4 MB of JSON: it
//! is sent in pieces, or, as `Accept` says, as the same numbers in raw `float32`, or as a PNG
//! (`mask.rs`).

use super::mask::{Mask, masks};
use super::picture::Preprocessor;
use super::request::{FORMS, Reader};
use super::settings::Keys;
use crate::engine::{DType, Elements, HostTensor, Value};
use crate::handlers::accept::Offer;
use crate::handlers::base::collate;
use crate::handlers::json_text::Layout;
use crate::handlers::open_inference_answer::{self, Output, OutputData, Served};
use crate::handlers::open_inference_request::Wanted;
use crate::handlers::{
    Asked, Envelope, Form, Handler, HandlerError, HandlerSettings, Prediction, RequestInput,
    Sample, TensorMetadata, raw_tensor,
};

/// Tells the class of every pixel.
#[derive(Debug)]
pub(in crate::handlers) struct ImageSegmenter {
    served: Served,
    pictures: Preprocessor,
    /// PNGs have colours.
    palette: bool,
    /// Open Inference answers have TorchServe's form: the envelope `kservev2`.
    torchserves_outputs: bool,
}

/// The name of the one output in the Open Inference Protocol.
const OUTPUT: &str = "output";

// === impl ImageSegmenter ===

impl ImageSegmenter {
    /// # Errors
    /// [`HandlerError::Model`] when the settings are wrong.
    pub(in crate::handlers) fn new(
        settings: &HandlerSettings<'_>,
    ) -> Result<ImageSegmenter, HandlerError> {
        let mut keys = Keys::read(settings.model_config, "image_segmenter")?;
        let palette = keys.take("palette")?.unwrap_or(false);
        Ok(ImageSegmenter {
            served: Served::new(settings),
            pictures: Preprocessor::new(keys.images()?, settings.limit_max_image_pixels),
            palette,
            torchserves_outputs: settings.envelope == Envelope::KServeV2,
        })
    }

    /// The answer for the masks of one request.
    fn answer(&self, masks: Vec<Mask>, form: &Form) -> Result<Prediction, HandlerError> {
        if let Form::OpenInference(wanted) = form {
            return self.open_inference(masks, wanted);
        }
        let Ok([only]) = <[Mask; 1]>::try_from(masks) else {
            return Err(HandlerError::Model("several pictures in a plain request".to_owned()));
        };
        match form {
            Form::Raw => {
                let (shape, elements) = (only.shape(), Elements::Float32(only.pixels));
                let all = 0..elements.len();
                Ok(raw_tensor::answer(&shape, &elements, all))
            }
            Form::Png => only.png(self.palette),
            form => Ok(only.listing().answer(*form == Form::Pieces)),
        }
    }

    fn open_inference(
        &self,
        masks: Vec<Mask>,
        wanted: &Wanted,
    ) -> Result<Prediction, HandlerError> {
        let outputs = match &wanted.named_after {
            None => {
                let mut shape = vec![masks.len()];
                shape.extend(masks.first().map(Mask::shape).unwrap_or_default());
                let pixels: Vec<f32> = masks.into_iter().flat_map(|mask| mask.pixels).collect();
                let range = 0..pixels.len();
                let elements = std::borrow::Cow::Owned(Elements::Float32(pixels));
                let data = OutputData::Numbers(elements, range);
                vec![Output { name: OUTPUT.to_owned(), shape, data }]
            }
            Some(inputs) => {
                let mut texts = masks.into_iter().map(|mask| mask.listing().text(Layout::Compact));
                let output = |(name, rows): &(String, usize)| Output {
                    name: name.clone(),
                    shape: vec![*rows],
                    data: OutputData::Json(texts.by_ref().take(*rows).collect()),
                };
                inputs.iter().map(output).collect()
            }
        };
        open_inference_answer::write(&self.served, wanted, outputs)
    }
}

impl Handler for ImageSegmenter {
    fn preprocess(&self, input: RequestInput) -> Result<Sample, HandlerError> {
        let Some(payload) = input.payload() else {
            return Err(HandlerError::BadInput(format!("{}; {FORMS}", input.no_payload())));
        };
        let picture = |bytes: &[u8]| self.pictures.tensor(bytes);
        let reader = Reader { picture: &picture, torchserves_outputs: self.torchserves_outputs };
        let (tensor, mut form) = reader.read(input.protocol, payload)?.joined()?;
        if form == Form::Plain {
            form = match input.accept.form(&[Offer::Raw, Offer::Png]) {
                Form::Plain if input.accept.pieces => Form::Pieces,
                other => other,
            };
        }
        let rows = tensor.rows().unwrap_or(1);
        let bucket = [(tensor.dtype(), tensor.shape()[1..].to_vec())];
        Ok(Sample {
            arguments: vec![Value::Tensor(tensor)],
            bucket: Some(bucket.into()),
            asked: Asked::new(rows, form),
            inferred: 0,
        })
    }

    fn collate(&self, samples: Vec<Sample>) -> Result<Vec<Value>, HandlerError> {
        collate(samples)
    }

    fn postprocess(&self, output: Value, asked: &[Asked]) -> Result<Vec<Prediction>, HandlerError> {
        let expected = asked.iter().map(|asked| asked.rows).sum::<usize>();
        let scores = scores(output, expected)?;
        let mut masks = masks(&scores)?.into_iter();
        asked
            .iter()
            .map(|asked| self.answer(masks.by_ref().take(asked.rows).collect(), &asked.form))
            .collect()
    }

    fn inputs(&self) -> Vec<TensorMetadata> {
        vec![TensorMetadata::bytes("data")]
    }

    fn outputs(&self) -> Vec<TensorMetadata> {
        let sizes = [None, None, None, Some(2)];
        vec![TensorMetadata::tensor(OUTPUT, DType::Float32, Some(&sizes))]
    }

    fn example(&self, rows: usize) -> Option<Vec<Value>> {
        Some(vec![Value::Tensor(self.pictures.example(rows)?)])
    }
}

/// The model's result: `[rows, classes, height, width]` in `float32`.
fn scores(output: Value, rows: usize) -> Result<HostTensor, HandlerError> {
    let refuse = |got: String| {
        HandlerError::Model(format!(
            "image_segmenter serves a model that returns floats of shape [{rows}, classes, height, \
             width], alone or as `out` of a dict, got {got}"
        ))
    };
    let tensor = match output {
        Value::Tensor(tensor) => tensor,
        Value::Dict(members) => {
            let names: Vec<_> = members.iter().map(|(name, _)| name.clone()).collect();
            match members.into_iter().find(|(name, _)| name == "out") {
                Some((_, Value::Tensor(tensor))) => tensor,
                _ => return Err(refuse(format!("a dict of {names:?}"))),
            }
        }
        _ => return Err(refuse("several values".to_owned())),
    };
    let shape = tensor.shape();
    let fits = matches!(shape, [found, classes, _, _] if *found == rows && *classes > 0);
    if !fits || !tensor.dtype().is_float() {
        return Err(refuse(format!("{tensor:?}")));
    }
    Ok(tensor.into_float32())
}

#[cfg(test)]
#[path = "segmenter_tests.rs"]
mod tests;
