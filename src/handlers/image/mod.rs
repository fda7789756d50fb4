//! Handlers of pictures: bytes of an image to the tensor that the model was trained on, exactly as
//! Pillow and torchvision make it.
//!
//! ```text
//! request.rs     what a request for pictures may be: bytes, base64, JSON, Open Inference
//! decode.rs      bytes of an image to pixels
//! resize.rs      Pillow's bilinear resize
//!   resample.rs    its arithmetic, sixteen bytes at a time
//! settings.rs    the numbers of a model, from model-config.yaml
//! classifier.rs  image_classifier
//! ```

mod classifier;
mod decode;
mod request;
mod resample;
mod resize;
mod settings;

pub(super) use classifier::ImageClassifier;
