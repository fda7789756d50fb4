//! A server in this process, on ports that the system chooses, stopped when the test ends.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tempfile::TempDir;
use torchfront::cli::Overrides;
use torchfront::config::Config;
use torchfront::server::{Parts, Phase, Role, Server, ServerHandle};

use super::goldens::checkout;
use super::{Answer, request};

/// A running server.
pub struct TestServer {
    pub inference: SocketAddr,
    pub management: SocketAddr,
    pub metrics: SocketAddr,
    /// The folder of its configuration, its model store and what it unpacks.
    pub folder: TempDir,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl TestServer {
    /// Serves these archives (names in `tests/goldens/archives`, or `digits`), with these lines in
    /// its properties file. Returns when the models have been tried.
    #[track_caller]
    pub fn start(archives: &[&str], lines: &[&str]) -> TestServer {
        TestServer::start_with(archives, lines, Parts::default())
    }

    /// The same, with parts of an embedding program.
    #[track_caller]
    pub fn start_with(archives: &[&str], lines: &[&str], parts: Parts) -> TestServer {
        TestServer::start_everything(archives, lines, &[], parts)
    }

    /// As [`TestServer::start`], with these variables in its environment.
    #[track_caller]
    pub fn start_in_environment(
        archives: &[&str],
        lines: &[&str],
        variables: &[(&str, &str)],
    ) -> TestServer {
        TestServer::start_everything(archives, lines, variables, Parts::default())
    }

    #[track_caller]
    fn start_everything(
        archives: &[&str],
        lines: &[&str],
        variables: &[(&str, &str)],
        parts: Parts,
    ) -> TestServer {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        fs::create_dir(&store).unwrap();
        for archive in archives {
            let from = match *archive {
                "digits" => checkout("models/digits.mar"),
                other => checkout(&format!("tests/goldens/archives/{other}.mar")),
            };
            fs::copy(&from, store.join(from.file_name().unwrap())).unwrap();
        }
        let all: Vec<String> = archives.iter().map(|archive| format!("{archive}.mar")).collect();
        let load = format!("load_models={}", all.join(","));
        let lines = [&[&*load], lines].concat();
        TestServer::of_store(folder, &store, &lines, variables, parts)
    }

    /// Serves a model store as it is.
    #[track_caller]
    pub fn start_in(folder: TempDir, store: &std::path::Path, lines: &[&str]) -> TestServer {
        TestServer::of_store(folder, store, lines, &[], Parts::default())
    }

    #[track_caller]
    fn of_store(
        folder: TempDir,
        store: &std::path::Path,
        lines: &[&str],
        variables: &[(&str, &str)],
        parts: Parts,
    ) -> TestServer {
        let mut text = String::new();
        let store = format!("model_store={}", store.display());
        // A line of the test wins over the line here.
        for own in [
            "inference_address=http://127.0.0.1:0",
            "management_address=http://127.0.0.1:0",
            "metrics_address=http://127.0.0.1:0",
            "disable_token_authorization=true",
            "access_log=false",
            &store,
        ] {
            let key = own.split('=').next();
            if !lines.iter().any(|line| line.split('=').next() == key) {
                text += own;
                text += "\n";
            }
        }
        for line in lines {
            text += line;
            text += "\n";
        }
        let file = folder.path().join("config.properties");
        fs::write(&file, text).unwrap();
        let overrides = Overrides { ts_config: Some(file), ..Overrides::default() };
        let mut environment = std::collections::BTreeMap::new();
        environment.insert("TEMP".to_owned(), folder.path().join("temp").display().to_string());
        // Where snapshots go.
        environment
            .insert("LOG_LOCATION".to_owned(), folder.path().join("logs").display().to_string());
        for (name, value) in variables {
            environment.insert((*name).to_owned(), (*value).to_owned());
        }
        let mut config =
            Config::load(&overrides, &environment).unwrap_or_else(|errors| panic!("{errors}"));
        // The tests of one process share a working directory.
        config.key_file = folder.path().join("key_file.json");
        TestServer::run(folder, config, parts)
    }

    fn run(folder: TempDir, config: Config, parts: Parts) -> TestServer {
        let (sender, started) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let server = Server::build_with(config, parts).unwrap();
                // A Unix socket, or an API on another's listener, has no address of its own.
                let none = SocketAddr::from(([0, 0, 0, 0], 0));
                let address = |role| server.addresses(role).first().copied().unwrap_or(none);
                let addresses = [Role::Inference, Role::Management, Role::Metrics].map(address);
                let mut handle = server.handle();
                let stopper = server.handle();
                let running = tokio::spawn(server.run());
                handle.reached(Phase::Serving).await;
                sender.send((addresses, stopper)).unwrap();
                running.await.unwrap().unwrap();
            });
        });
        let ([inference, management, metrics], handle) = started.recv().unwrap();
        TestServer { inference, management, metrics, folder, handle, thread: Some(thread) }
    }

    /// A body to a model.
    #[track_caller]
    pub fn predict(&self, model: &str, body: impl AsRef<[u8]>) -> Answer {
        let path = format!("/predictions/{model}");
        request(
            self.inference,
            "POST",
            &path,
            &[("Content-Type", "application/json")],
            body.as_ref(),
        )
    }

    /// A GET on the management listener.
    #[track_caller]
    pub fn manage(&self, path: &str) -> Answer {
        request(self.management, "GET", path, &[], b"")
    }

    /// The value of a series in the metrics, 0 when it is not there; `series` is without the comma
    /// behind the last label.
    #[track_caller]
    pub fn metric(&self, series: &str) -> f64 {
        let text = request(self.metrics, "GET", "/metrics", &[], b"").text().replace(",}", "}");
        let line = text.lines().find(|line| line.starts_with(series));
        line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// Below which archives are unpacked.
    pub fn temp_dir(&self) -> PathBuf {
        self.folder.path().join("temp")
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(mut self) {
        self.end();
    }

    /// Asks it to stop and goes on at once.
    pub fn begin_stop(&self) {
        self.handle.stop();
    }

    /// Asks it to read its certificate again.
    pub fn reload(&self) {
        self.handle.reload();
    }

    fn end(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.end();
    }
}
