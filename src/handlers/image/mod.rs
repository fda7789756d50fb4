//! Handlers of pictures: bytes of an image to the tensor that the model was trained on, exactly as
//! Pillow and torchvision make it.
//!
//! ```text
//! request.rs     what a request for pictures may be: bytes, base64, JSON, Open Inference
//! decode.rs      bytes of an image to pixels
//!   tiff.rs        some TIFFs
//! resize.rs      Pillow's bilinear resize
//!   resample.rs    its arithmetic, sixteen bytes at a time
//! settings.rs    the numbers of a model, from model-config.yaml
//! picture.rs     all of that in order: bytes of an image to a tensor
//! classifier.rs  image_classifier
//! detector.rs    object_detector
//! segmenter.rs   image_segmenter
//!   mask.rs        the class of each pixel
//! ```

mod classifier;
mod decode;
mod detector;
mod mask;
mod picture;
mod request;
mod resample;
mod resize;
mod segmenter;
mod settings;
mod tiff;

#[cfg(test)]
mod pictures_tests;

pub(super) use classifier::ImageClassifier;
pub(super) use detector::ObjectDetector;
pub(super) use segmenter::ImageSegmenter;
