// waits_rust.rs - how Rust's std waits: a thread for each way, that waits once for 300 ms.
//
// Prints {"threads":[{"tid":T,"name":"mutex","reason":"lock","wait_ns":N}, ...]}, what each measured.
use std::sync::{mpsc, Arc, Barrier, Condvar, Mutex, Once, OnceLock, RwLock};
use std::thread::{park_timeout, sleep, Builder, JoinHandle};
use std::time::{Duration, Instant};

extern "C" {
    fn gettid() -> i32;
}

const WAIT: Duration = Duration::from_millis(300);

type Told = JoinHandle<String>;

fn measure(name: &'static str, reason: &'static str, wait: impl FnOnce() + Send + 'static) -> Told {
    let run = move || {
        let start = Instant::now();
        wait();
        let (tid, ns) = (unsafe { gettid() }, start.elapsed().as_nanos());
        format!("{{\"tid\":{tid},\"name\":\"{name}\",\"reason\":\"{reason}\",\"wait_ns\":{ns}}}")
    };
    Builder::new().name(name.into()).spawn(run).unwrap()
}

fn help(what: impl FnOnce() + Send + 'static) {
    Builder::new().name("helper".into()).spawn(what).unwrap();
}

// Returns when a thread holds something, which it does for as long as a wait lasts.
fn hold<G>(take: impl FnOnce() -> G + Send + 'static) {
    let (held, is_held) = mpsc::channel();
    help(move || {
        let _guard = take();
        held.send(()).unwrap();
        sleep(WAIT);
    });
    is_held.recv().unwrap();
}

fn main() {
    static MUTEX: Mutex<i32> = Mutex::new(0);
    static WRITTEN: RwLock<i32> = RwLock::new(0);
    static READ: RwLock<i32> = RwLock::new(0);
    static ONCE: Once = Once::new();
    static CELL: OnceLock<i32> = OnceLock::new();
    let mut all = Vec::new();

    hold(|| MUTEX.lock().unwrap());
    all.push(measure("mutex", "lock", || drop(MUTEX.lock())));
    hold(|| WRITTEN.read().unwrap());
    all.push(measure("rwlock-write", "lock", || drop(WRITTEN.write())));
    hold(|| READ.write().unwrap());
    all.push(measure("rwlock-read", "lock", || drop(READ.read())));

    let (held, is_held) = mpsc::channel();
    let cell_held = held.clone();
    help(move || ONCE.call_once(|| (held.send(()).unwrap(), sleep(WAIT)).1));
    is_held.recv().unwrap();
    all.push(measure("once", "lock", || ONCE.call_once(|| ())));
    help(move || {
        CELL.get_or_init(|| (cell_held.send(()).unwrap(), sleep(WAIT), 1).2);
    });
    is_held.recv().unwrap();
    all.push(measure("oncelock", "lock", || {
        CELL.get_or_init(|| 2);
    }));

    let pair = Arc::new((Mutex::new(()), Condvar::new()));
    all.push(measure("condvar", "idle", move || {
        drop(pair.1.wait_timeout(pair.0.lock().unwrap(), WAIT));
    }));
    all.push(measure("park", "idle", || park_timeout(WAIT)));
    let (sender, receiver) = mpsc::channel();
    help(move || (sleep(WAIT), sender.send(()).unwrap()).1);
    all.push(measure("mpsc", "idle", move || receiver.recv().unwrap()));
    let barrier = Arc::new(Barrier::new(2));
    let other = barrier.clone();
    help(move || {
        sleep(WAIT);
        other.wait();
    });
    all.push(measure("barrier", "lock", move || drop(barrier.wait())));

    let told: Vec<String> = all.into_iter().map(|t| t.join().unwrap()).collect();
    println!("{{\"threads\":[{}]}}", told.join(","));
}
