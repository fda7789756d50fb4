//! A server as a process of its own, for what happens to processes: signals, limits, hanging threads.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use super::{Answer, request};

/// A server process in a folder of its own; killed when dropped.
pub struct OwnProcess {
    pub inference: SocketAddr,
    pub management: SocketAddr,
    pub metrics: SocketAddr,
    folder: tempfile::TempDir,
    child: Child,
    log: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

impl OwnProcess {
    /// Serves a copy of these archives, with these lines in its configuration. `prepare` may put more
    /// into the store.
    #[track_caller]
    pub fn start(archives: &[&str], lines: &[&str], prepare: impl FnOnce(&Path)) -> OwnProcess {
        let program = Command::new(env!("CARGO_BIN_EXE_torchfront"));
        OwnProcess::start_as(program, archives, lines, prepare, |_| {})
    }

    /// The same by a command that takes the server's arguments; `finish` is the last that is done to
    /// the folder.
    #[track_caller]
    pub fn start_as(
        mut command: Command,
        archives: &[&str],
        lines: &[&str],
        prepare: impl FnOnce(&Path),
        finish: impl FnOnce(&Path),
    ) -> OwnProcess {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        fs::create_dir(&store).unwrap();
        for archive in archives {
            let file = format!("{archive}.mar");
            let from = super::checkout("tests/goldens/archives").join(&file);
            fs::copy(from, store.join(&file)).unwrap();
        }
        prepare(&store);
        let mut text = String::from("enable_model_api=true\naccess_log=false\n");
        for role in ["inference", "management", "metrics"] {
            text += &format!("{role}_address=http://127.0.0.1:0\n");
        }
        text += &format!("model_store={}\nload_models=all\n", store.display());
        if !lines.iter().any(|line| line.starts_with("disable_token_authorization")) {
            text += "disable_token_authorization=true\n";
        }
        text += &lines.join("\n");
        let file = folder.path().join("config.properties");
        fs::write(&file, text).unwrap();
        finish(folder.path());
        command.current_dir(folder.path()).env_remove("TS_CONFIG_FILE");
        command.env("TEMP", folder.path().join("temp"));
        command.env("LOG_LOCATION", folder.path().join("logs"));
        command.arg("--ts-config").arg(file).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("Model server started") {
            if output.read_line(&mut said).unwrap() == 0 {
                let _status = child.wait();
                panic!("ended before it served: {said}");
            }
        }
        let address = |api: &str| {
            let (_, rest) = said.split_once(&format!("{api} API on http://")).unwrap();
            rest.lines().next().unwrap().trim().parse().unwrap()
        };
        let (inference, management, metrics) =
            (address("inference"), address("management"), address("metrics"));
        let log = Arc::new(Mutex::new(said));
        let kept = Arc::clone(&log);
        let reading = std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let mut log = kept.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let reading = Some(reading);
        OwnProcess { inference, management, metrics, folder, child, log, reading }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// A path as the process sees it, when it has mounts of its own.
    pub fn inside(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.child.id()));
        root.join(path.strip_prefix("/").unwrap())
    }

    /// Everything that it has said so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    #[track_caller]
    pub fn predict(&self, model: &str, body: &str) -> Answer {
        let path = format!("/predictions/{model}");
        let json = [("Content-Type", "application/json")];
        request(self.inference, "POST", &path, &json, body.as_bytes())
    }

    #[track_caller]
    pub fn manage(&self, method: &str, path: &str) -> Answer {
        request(self.management, method, path, &[], b"")
    }

    /// The sum of the series whose line starts so and holds `label`.
    #[track_caller]
    pub fn metric(&self, family: &str, label: &str) -> f64 {
        let text = request(self.metrics, "GET", "/metrics", &[], b"").text();
        let found = text.lines().filter(|line| line.starts_with(family) && line.contains(label));
        found.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// From now on the process has no more than this of a resource; none for no bound.
    pub fn limit(&self, resource: Resource, most: Option<u64>) {
        let maximum = rustix::process::getrlimit(resource).maximum;
        prlimit(Some(self.pid()), resource, Rlimit { current: most.or(maximum), maximum }).unwrap();
    }

    /// Descriptors that it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits until it has ended, and for its last line.
    #[track_caller]
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let end = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                if let Some(reading) = self.reading.take() {
                    reading.join().unwrap();
                }
                return status;
            }
            assert!(Instant::now() < end, "still there: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for OwnProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}
