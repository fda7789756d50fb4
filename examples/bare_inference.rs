//! The floors of `make compare WHAT=inference`: what a Rust program gets from actix-web and libtorch
//! without a server around it. No limits, no errors worth the name, no metrics, one model.
//!
//! `bare_inference in-handler ADDRESS THREADS MODEL.pt`: the forward runs inside the handler.
//! `bare_inference queue ADDRESS THREADS MODEL.pt BATCH`: one worker thread drains a queue and runs
//! what it finds, `BATCH` samples at most, as one forward.
//!
//! A request is a JSON list of numbers, one sample; the answer is a JSON list.

use std::sync::mpsc;

use actix_web::{App, HttpResponse, HttpServer, web};
use tch::{CModule, Device, Kind, Tensor};
use tokio::sync::oneshot;

/// As the server itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Job {
    sample: Vec<f32>,
    reply: oneshot::Sender<Vec<f32>>,
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (queued, address, threads, model, batch) = match words.as_slice() {
        ["in-handler", address, threads, model] => (false, *address, *threads, *model, "1"),
        ["queue", address, threads, model, batch] => (true, *address, *threads, *model, *batch),
        _ => {
            eprintln!("bare_inference in-handler|queue ADDRESS THREADS MODEL.pt [BATCH]");
            std::process::exit(64);
        }
    };
    tch::set_num_threads(1);
    let number = |text: &str| text.parse().map_err(std::io::Error::other);
    let (threads, batch): (usize, usize) = (number(threads)?, number(batch)?);
    let model = model.to_owned();
    if queued {
        let (queue, jobs) = mpsc::channel();
        std::thread::spawn(move || drain(&load(&model), &jobs, batch));
        let app = move || App::new().app_data(queue.clone()).default_service(web::to(queue_up));
        HttpServer::new(app).workers(threads).bind(address)?.run().await
    } else {
        let app = move || {
            App::new().app_data(web::Data::new(load(&model))).default_service(web::to(in_handler))
        };
        HttpServer::new(app).workers(threads).bind(address)?.run().await
    }
}

fn load(model: &str) -> CModule {
    tch::set_num_threads(1);
    CModule::load_on_device(model, Device::Cpu).expect("the file is a TorchScript module")
}

async fn in_handler(body: web::Bytes, module: web::Data<CModule>) -> HttpResponse {
    let Ok(sample) = serde_json::from_slice::<Vec<f32>>(&body) else {
        return HttpResponse::BadRequest().finish();
    };
    match forward(&module, &sample, 1) {
        Some(answer) => HttpResponse::Ok().json(answer),
        None => HttpResponse::ServiceUnavailable().finish(),
    }
}

async fn queue_up(request: actix_web::HttpRequest, body: web::Bytes) -> HttpResponse {
    let Ok(sample) = serde_json::from_slice::<Vec<f32>>(&body) else {
        return HttpResponse::BadRequest().finish();
    };
    let (reply, answer) = oneshot::channel();
    let queue = request.app_data::<mpsc::Sender<Job>>().expect("the application has it");
    let _ended = queue.send(Job { sample, reply });
    match answer.await {
        Ok(answer) => HttpResponse::Ok().json(answer),
        Err(_) => HttpResponse::ServiceUnavailable().finish(),
    }
}

/// The life of the worker thread.
fn drain(module: &CModule, jobs: &mpsc::Receiver<Job>, batch: usize) {
    while let Ok(first) = jobs.recv() {
        let mut taken = vec![first];
        taken.extend(jobs.try_iter().take(batch - 1));
        let samples: Vec<f32> = taken.iter().flat_map(|job| &job.sample).copied().collect();
        let Some(answers) = forward(module, &samples, taken.len()) else { continue };
        let width = answers.len() / taken.len();
        for (job, answer) in taken.into_iter().zip(answers.chunks(width)) {
            let _gone = job.reply.send(answer.to_vec());
        }
    }
}

fn forward(module: &CModule, samples: &[f32], rows: usize) -> Option<Vec<f32>> {
    tch::no_grad(|| {
        let width = i64::try_from(samples.len() / rows).ok()?;
        let input = Tensor::from_slice(samples).view([i64::try_from(rows).ok()?, width]);
        let output = module.forward_ts(&[input]).ok()?.to_kind(Kind::Float).contiguous();
        let mut answer = vec![0.0; output.numel()];
        output.copy_data(&mut answer, output.numel());
        Some(answer)
    })
}
