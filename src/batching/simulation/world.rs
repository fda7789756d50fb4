//! The virtual clock, the callers, the threads and the model; what is checked while they run.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::schedule::{Model, Random, Schedule};
use crate::batching::bisect::{self, Again, Runner};
use crate::batching::policy::Filling;
use crate::batching::waiting::{PushError, Step, Ticket, Waiting, Wake};

pub(super) struct World<'a> {
    schedule: &'a Schedule,
    random: Random,
    start: Instant,
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    queue: Waiting<u8, usize>,
    requests: RefCell<Vec<Request>>,
    workers: Vec<Worker>,
    /// Workers that should serve.
    wanted: usize,
    /// Batches that were cut.
    batches: usize,
    unloaded: bool,
    /// When workers were told to end.
    sent_away_at: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives(usize),
    IsPreprocessed(usize),
    /// The caller's own clock.
    TimesOut(usize),
    HangsUp(usize),
    /// A worker gets the lock and asks what to do.
    Asks(usize),
    /// A worker's timed wait is over, unless something woke it before.
    WaitIsOver(usize, u32),
    Finishes(usize),
    Scales(usize),
    Unloads,
    Abandons,
}

/// One caller and its job.
#[derive(Default)]
struct Request {
    answer: Option<Answer>,
    /// What became of the job; at most one thing does.
    end: Option<End>,
    ticket: Option<Ticket>,
    deadline: u64,
    admitted: bool,
    /// When it was queued, how many batches had been cut and how many jobs were before it then.
    queued: Option<(u64, usize, usize)>,
    /// A worker would have been free for it at once.
    met_an_idle_worker: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// A prediction: the row of this request.
    Row(usize),
    Offended,
    OutOfMemory,
    /// Somebody else's fault, in a batch that must not be run again.
    WithTheBatch,
    TooLate,
    Full,
    Closed,
    /// The model was unloaded with the job in the queue.
    Dropped,
    /// The client hung up: nobody is owed an answer.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Started,
    TooLate,
    Withdrawn,
    Dropped,
}

struct Worker {
    state: State,
    told_to_end: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// On its way to the lock.
    Awake,
    /// In a wait without an end.
    Asleep,
    /// In a timed wait, the so manieth of this worker.
    Waits(u32),
    Busy(Vec<usize>),
    Ended,
}

/// The model with a batch in hand.
struct Batch<'a> {
    model: Model,
    schedule: &'a Schedule,
    requests: &'a RefCell<Vec<Request>>,
    now: u64,
    forwards: Cell<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Offended,
    OutOfMemory,
}

// === impl World ===

impl<'a> World<'a> {
    pub(super) fn new(schedule: &'a Schedule) -> World<'a> {
        let requests = schedule.arrivals.iter().map(|_| Request::default());
        let mut world = World {
            schedule,
            random: Random::new(schedule.ties),
            start: Instant::now(),
            now: 0,
            events: BinaryHeap::new(),
            queue: Waiting::new(schedule.capacity, schedule.policy),
            requests: RefCell::new(requests.collect()),
            workers: Vec::new(),
            wanted: 0,
            batches: 0,
            unloaded: false,
            sent_away_at: Vec::new(),
        };
        for (number, arrival) in schedule.arrivals.iter().enumerate() {
            world.at(arrival.at, Event::Arrives(number));
        }
        for (at, workers) in &schedule.scalings {
            world.at(*at, Event::Scales(*workers));
        }
        world.at(schedule.closed_at, Event::Unloads);
        world.scale(schedule.workers);
        world
    }

    /// Until nothing more happens.
    pub(super) fn run(mut self) {
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > self.now {
                self.check_that_nobody_rests();
            }
            self.now = at;
            self.happens(event);
            let room = self.schedule.capacity - self.queue.room();
            assert!(room >= self.queue.len() && self.queue.len() <= self.schedule.capacity);
        }
        assert_eq!((self.queue.len(), self.queue.room()), (0, self.schedule.capacity));
        for (number, request) in self.requests.borrow().iter().enumerate() {
            assert!(request.answer.is_some(), "request {number} was never answered");
            assert!(request.ticket.is_none() || request.end.is_some(), "job {number} is lost");
        }
        for (number, worker) in self.workers.iter().enumerate() {
            assert_eq!(worker.state, State::Ended, "worker {number}");
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Arrives(number) => self.arrives(number),
            Event::IsPreprocessed(number) => self.is_preprocessed(number),
            Event::TimesOut(number) => self.leaves(number, Answer::TooLate),
            Event::HangsUp(number) => self.leaves(number, Answer::Gone),
            Event::Asks(worker) => self.asks(worker),
            Event::WaitIsOver(worker, wait) => {
                if self.workers[worker].state == State::Waits(wait) {
                    self.wakes(worker);
                }
            }
            Event::Finishes(worker) => self.finishes(worker),
            Event::Scales(workers) => self.scale(workers),
            Event::Unloads => {
                self.unloaded = true;
                self.end_workers(0);
                if let Some(patience) = self.schedule.patience {
                    self.at(self.now + patience, Event::Abandons);
                }
            }
            Event::Abandons => {
                for number in self.queue.abandon() {
                    self.end(number, End::Dropped);
                    self.answer(number, Answer::Dropped);
                }
                self.workers.iter_mut().for_each(|worker| worker.told_to_end = true);
                self.wake(Wake::All);
            }
        }
    }

    // --- callers ---

    fn arrives(&mut self, number: usize) {
        let arrival = self.schedule.arrivals[number];
        let closed = self.wanted == 0;
        match if closed { Err(PushError::Closed) } else { self.queue.admit() } {
            Ok(()) => {}
            Err(refused) => {
                let full = self.queue.len() + self.admitted() == self.schedule.capacity;
                assert!(closed || (full && refused == PushError::Full), "{refused}");
                let answer = if closed { Answer::Closed } else { Answer::Full };
                return self.answer(number, answer);
            }
        }
        let deadline = self.now + arrival.timeout;
        let request = &mut self.requests.get_mut()[number];
        (request.deadline, request.admitted) = (deadline, true);
        self.at(deadline + arrival.late_by, Event::TimesOut(number));
        if let Some(after) = arrival.hangs_up {
            self.at(self.now + after, Event::HangsUp(number));
        }
        self.at(self.now + arrival.preprocess, Event::IsPreprocessed(number));
    }

    fn is_preprocessed(&mut self, number: usize) {
        if self.requests.borrow()[number].answer.is_some() {
            return; // It left, and gave its place back then.
        }
        let before = self.queue.len();
        let idle = self.workers.iter().any(|worker| {
            !worker.told_to_end && matches!(worker.state, State::Asleep | State::Waits(_))
        });
        let bucket = self.schedule.arrivals[number].bucket;
        let deadline = self.instant(self.requests.borrow()[number].deadline);
        self.requests.borrow_mut()[number].admitted = false;
        match self.queue.push(bucket, deadline, number) {
            Ok((ticket, wake)) => {
                let serves = |worker: &Worker| !worker.told_to_end && worker.state != State::Ended;
                assert!(
                    self.workers.iter().any(serves),
                    "{number} was admitted, and nobody serves"
                );
                let request = &mut self.requests.get_mut()[number];
                request.ticket = Some(ticket);
                request.queued = Some((self.now, self.batches, before));
                request.met_an_idle_worker = idle && before == 0;
                self.wake(wake);
            }
            Err(same) => {
                assert!(same == number && self.unloaded);
                self.answer(number, Answer::Dropped);
            }
        }
    }

    /// The caller goes, as `Reply` and `Admission` do when they are dropped.
    fn leaves(&mut self, number: usize, answer: Answer) {
        let request = &mut self.requests.get_mut()[number];
        if request.answer.is_some() {
            return;
        }
        request.answer = Some(answer);
        let (admitted, ticket) = (std::mem::take(&mut request.admitted), request.ticket);
        let wake = if admitted {
            self.queue.leave()
        } else {
            let ticket = ticket.expect("it is on its way in, or queued");
            let (job, wake) = self.queue.withdraw(ticket);
            if job.is_some() {
                assert_eq!(request.end.replace(End::Withdrawn), None);
            }
            wake
        };
        self.wake(wake);
    }

    // --- workers ---

    fn asks(&mut self, worker: usize) {
        let now = self.instant(self.now);
        match self.queue.step(now, self.workers[worker].told_to_end) {
            Step::Run(jobs) => self.starts(worker, jobs),
            Step::TooLate(jobs) => {
                assert!(!jobs.is_empty());
                for number in jobs {
                    assert!(self.requests.borrow()[number].deadline <= self.now);
                    self.end(number, End::TooLate);
                    self.answer(number, Answer::TooLate);
                }
                self.soon(Event::Asks(worker));
            }
            Step::Wait(time) => {
                assert_eq!(self.schedule.policy.filling, Filling::Fill);
                assert!(!time.is_zero() && time <= self.schedule.policy.max_batch_delay);
                let wait = u32::try_from(self.random.next() >> 33).unwrap();
                self.workers[worker].state = State::Waits(wait);
                let over = self.now + u64::try_from(time.as_millis()).unwrap();
                self.at(over, Event::WaitIsOver(worker, wait));
            }
            Step::Sleep => self.workers[worker].state = State::Asleep,
            Step::Stop => self.workers[worker].state = State::Ended,
        }
    }

    fn starts(&mut self, worker: usize, jobs: Vec<usize>) {
        self.batches += 1;
        let policy = self.schedule.policy;
        assert!(!jobs.is_empty() && jobs.len() <= policy.batch_size.get());
        let bucket = self.schedule.arrivals[jobs[0]].bucket;
        assert!(bucket.is_some() || jobs.len() == 1, "what runs alone was batched");
        let before = self.requests.borrow()[jobs[0]].ticket;
        for (number, request) in self.requests.borrow().iter().enumerate() {
            let waits = request.ticket.is_some() && request.end.is_none();
            assert!(!waits || request.ticket >= before, "{number} is older and still waits");
        }
        for number in &jobs {
            self.end(*number, End::Started);
            let requests = self.requests.borrow();
            let request = &requests[*number];
            assert!(request.deadline > self.now, "{number} was started too late");
            assert_eq!(request.answer, None, "{number} was started for nobody");
            assert_eq!(self.schedule.arrivals[*number].bucket, bucket);
            let (queued_at, batches, jobs_before) = request.queued.unwrap();
            let waited_for = self.batches - batches;
            assert!(waited_for <= jobs_before + 1, "{number}: {waited_for} > {jobs_before} + 1");
            let stayed = !self.sent_away_at.contains(&queued_at);
            if request.met_an_idle_worker && stayed && policy.filling == Filling::WorkConserving {
                assert_eq!(queued_at, self.now, "{number} waited next to an idle worker");
            }
        }
        let time = self.random.to(self.schedule.model.slowest);
        self.workers[worker].state = State::Busy(jobs);
        self.at(self.now + time, Event::Finishes(worker));
    }

    fn finishes(&mut self, worker: usize) {
        let state = std::mem::replace(&mut self.workers[worker].state, State::Awake);
        let State::Busy(jobs) = state else { panic!("{state:?}") };
        let model = self.schedule.model;
        let offenders = jobs.iter().filter(|job| self.schedule.arrivals[**job].offends).count();
        let all_awaited = jobs.iter().all(|job| self.requests.borrow()[*job].answer.is_none());
        let size = jobs.len();
        let batch = Batch {
            model,
            schedule: self.schedule,
            requests: &self.requests,
            now: self.now,
            forwards: Cell::new(0),
        };
        bisect::serve(&batch, jobs);
        let forwards = batch.forwards.get();
        let levels = usize::try_from(size.next_power_of_two().ilog2()).unwrap();
        if model.changes_itself || (offenders == 0 && size <= model.fits) {
            assert_eq!(forwards, 1);
        } else if offenders == 1 && size <= model.fits && all_awaited {
            assert!(forwards <= 1 + 2 * levels, "{forwards} forwards for {size} jobs");
        }
        assert!(forwards < 2 * size.max(1));
        self.soon(Event::Asks(worker));
    }

    /// As the registry does it.
    fn scale(&mut self, workers: usize) {
        if self.unloaded {
            return;
        }
        if workers < self.wanted {
            return self.end_workers(workers);
        }
        if self.wanted == 0 && workers > 0 {
            // Those that run what was left are relieved.
            self.workers.iter_mut().for_each(|worker| worker.told_to_end = true);
            self.queue.open();
            self.wake(Wake::All);
        }
        for _ in self.wanted..workers {
            self.workers.push(Worker { state: State::Awake, told_to_end: false });
            self.soon(Event::Asks(self.workers.len() - 1));
        }
        self.wanted = workers;
    }

    fn end_workers(&mut self, workers: usize) {
        self.sent_away_at.push(self.now);
        if workers == 0 {
            self.queue.close();
        } else {
            let serving = self.workers.iter_mut().rev().filter(|worker| !worker.told_to_end);
            serving.take(self.wanted - workers).for_each(|worker| worker.told_to_end = true);
        }
        self.wanted = workers;
        self.wake(Wake::All);
    }

    // --- the lock, the clock, the books ---

    /// What a condition variable does: any one of those that wait, or all.
    fn wake(&mut self, wake: Wake) {
        let waits = |worker: &Worker| matches!(worker.state, State::Asleep | State::Waits(_));
        let all = self.workers.iter().enumerate().filter(|(_, worker)| waits(worker));
        let mut waiting: Vec<usize> = all.map(|(number, _)| number).collect();
        match wake {
            Wake::None => waiting.clear(),
            Wake::One if waiting.len() > 1 => {
                let chosen = self.random.to(u64::try_from(waiting.len() - 1).unwrap());
                waiting = vec![waiting[usize::try_from(chosen).unwrap()]];
            }
            Wake::One | Wake::All => {}
        }
        waiting.into_iter().for_each(|worker| self.wakes(worker));
    }

    fn wakes(&mut self, worker: usize) {
        self.workers[worker].state = State::Awake;
        self.soon(Event::Asks(worker));
    }

    /// Called when time is about to pass.
    fn check_that_nobody_rests(&self) {
        if self.queue.len() == 0 {
            return;
        }
        for (number, worker) in self.workers.iter().enumerate() {
            assert_ne!(worker.state, State::Asleep, "worker {number} sleeps and jobs wait");
            let may_wait = self.schedule.policy.filling == Filling::Fill;
            assert!(may_wait || !matches!(worker.state, State::Waits(_)), "worker {number}");
        }
    }

    fn admitted(&self) -> usize {
        self.requests.borrow().iter().filter(|request| request.admitted).count()
    }

    fn end(&self, number: usize, end: End) {
        let before = self.requests.borrow_mut()[number].end.replace(end);
        assert_eq!(before, None, "job {number} came out twice");
    }

    /// The caller's first answer is the one it gets.
    fn answer(&self, number: usize, answer: Answer) {
        let request = &mut self.requests.borrow_mut()[number];
        assert_ne!(request.answer.replace(answer), Some(answer), "{number} was answered twice");
    }

    fn instant(&self, at: u64) -> Instant {
        self.start + Duration::from_millis(at)
    }

    /// Now, before or after what else happens now.
    fn soon(&mut self, event: Event) {
        self.at(self.now, event);
    }

    fn at(&mut self, at: u64, event: Event) {
        let tie = self.random.next();
        self.events.push(Reverse((at, tie, event)));
    }
}

// === impl Batch ===

impl Runner for Batch<'_> {
    type Job = usize;
    type Prediction = usize;
    type Error = Failure;

    fn run(&self, jobs: &[usize]) -> Result<Vec<usize>, Failure> {
        self.forwards.set(self.forwards.get() + 1);
        if jobs.len() > self.model.fits {
            return Err(Failure::OutOfMemory);
        }
        if jobs.iter().any(|job| self.schedule.arrivals[*job].offends) {
            return Err(Failure::Offended);
        }
        Ok(jobs.to_vec())
    }

    fn again(&self, error: &Failure) -> Again {
        match error {
            _ if self.model.changes_itself => Again::Never,
            Failure::OutOfMemory => Again::Once,
            Failure::Offended => Again::UntilFound,
        }
    }

    fn still_awaited(&self, job: usize) -> Option<usize> {
        let request = &mut self.requests.borrow_mut()[job];
        if request.answer.is_none() && request.deadline <= self.now {
            request.answer = Some(Answer::TooLate);
        }
        request.answer.is_none().then_some(job)
    }

    fn answer(&self, job: usize, batch: usize, result: Result<usize, Failure>) {
        let offends = self.schedule.arrivals[job].offends;
        let answer = match result {
            Ok(row) => {
                assert!(row == job && !offends, "{job} got the row of {row}");
                Answer::Row(row)
            }
            Err(Failure::OutOfMemory) => Answer::OutOfMemory,
            Err(Failure::Offended) if offends => Answer::Offended,
            Err(Failure::Offended) => {
                assert!(self.model.changes_itself && batch > 1, "{job} is no offender");
                Answer::WithTheBatch
            }
        };
        let request = &mut self.requests.borrow_mut()[job];
        match request.answer {
            // It went while its batch ran; nobody reads this.
            Some(Answer::TooLate | Answer::Gone) => {}
            Some(other) => panic!("{job} was answered {other:?} and {answer:?}"),
            None => request.answer = Some(answer),
        }
    }
}
