//! Pictures in every format and of odd sizes, against the pixels that Pillow and torchvision make of
//! them (`tests/goldens/make_pictures.py`).

use std::io::{Cursor, Read};

use flate2::Crc;
use serde_json::{Value as Json, json};

use super::picture::Preprocessor;
use super::settings::Keys;
use crate::engine::{Elements, HostTensor};

const PICTURES: &[u8] = include_bytes!("../../../tests/goldens/pictures.zip");
const GOLDENS: &str = include_str!("../../../tests/goldens/pictures.json");

/// Values that are the bytes themselves.
fn bytes_as_they_are() -> Preprocessor {
    let third = 1.0 / 255.0;
    let config = json!({"image_classifier": {"mean": [0, 0, 0], "std": [third, third, third]}});
    let settings = Keys::read(&config, "image_classifier").unwrap().images().unwrap();
    Preprocessor::new(settings, true)
}

/// CRC-32 of the pixels, row by row.
fn crc(tensor: &HostTensor) -> u32 {
    let Elements::Float32(values) = tensor.elements() else { panic!("{tensor:?}") };
    let plane = values.len() / 3;
    let pixel = |at: usize| [0, 1, 2].map(|channel| values[channel * plane + at].round() as u8);
    let bytes: Vec<u8> = (0..plane).flat_map(pixel).collect();
    let mut crc = Crc::new();
    crc.update(&bytes);
    crc.sum()
}

#[test]
fn pixels_of_every_format_and_size_are_pillows_own() {
    let mut archive = zip::ZipArchive::new(Cursor::new(PICTURES)).unwrap();
    let goldens: Json = serde_json::from_str(GOLDENS).unwrap();
    let preprocessor = bytes_as_they_are();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for golden in goldens["pictures"].as_array().unwrap() {
        let name = golden["file"].as_str().unwrap();
        let mut picture = Vec::new();
        archive.by_name(name).unwrap().read_to_end(&mut picture).unwrap();
        match preprocessor.tensor(&picture) {
            Ok(_) if golden["read"] == false => {
                wrong.push(format!("{name} is read after all"));
            }
            Ok(tensor) => {
                compared += 1;
                if golden["exact"] == true && u64::from(crc(&tensor)) != golden["crop_crc32"] {
                    wrong.push(format!("{name} ({}) differs", golden["mode"]));
                }
            }
            Err(_) if golden["read"] == false => {}
            Err(error) => wrong.push(format!("{name} ({}): {error}", golden["mode"])),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= 100, "only {compared} pictures");
}
