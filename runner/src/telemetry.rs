//! The sensors: a thread that reads memory, CPU and devices of the run's process trees, and the host's counters, at 10 Hz.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
    thread::JoinHandle,
    time::Duration,
};

use nvml_wrapper::{Nvml, enums::device::UsedGpuMemory};
use schemas::sample::Sample;

use crate::{
    clock::RunClock,
    event::EventKind,
    host,
    process::{Usage, trees},
};

/// Time between two readings.
const PERIOD: Duration = Duration::from_millis(100);
/// Readings between two looks at which processes belong to a tree.
const READINGS_PER_CENSUS: u32 = 10;

/// Process trees to watch: a launch's name to the process id at its root.
#[derive(Debug, Clone, Default)]
pub struct Watched(Arc<Mutex<BTreeMap<String, u32>>>);

impl Watched {
    /// Watches a tree from now on.
    pub fn add(&self, name: &str, root: u32) {
        self.lock().insert(name.to_owned(), root);
    }

    /// Watches it no more.
    pub fn remove(&self, name: &str) {
        self.lock().remove(name);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u32>> {
        // A panic elsewhere leaves a map that is still whole.
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Handle to the sensors' thread.
#[derive(Debug)]
pub struct Telemetry {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Telemetry {
    /// Starts the thread. Readings go to the recorder and are dropped while it is behind: a sensor never waits.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        clock: RunClock,
        watched: Watched,
        recorder: SyncSender<EventKind>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("telemetry".into())
            .spawn(move || {
                // It gives way to the requests where both want a core.
                let _ = rustix::process::nice(10);
                let mut sensors = Sensors::new(clock, watched);
                let mut count = 0;
                while !stopped.load(Ordering::Relaxed) {
                    if count % READINGS_PER_CENSUS == 0 {
                        sensors.census();
                    }
                    count += 1;
                    let readings = EventKind::Sampled(sensors.read());
                    if matches!(
                        recorder.try_send(readings),
                        Err(TrySendError::Disconnected(_))
                    ) {
                        break;
                    }
                    // Woken before its time when the run ends.
                    std::thread::park_timeout(PERIOD);
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A sensor that panicked has nothing more to say; the readings so far are kept.
            let _ = thread.join();
        }
    }
}

struct Sensors {
    clock: RunClock,
    watched: Watched,
    nvml: Option<Nvml>,
    /// Members of each tree as of the last census.
    trees: BTreeMap<String, Vec<u32>>,
}

impl Sensors {
    fn new(clock: RunClock, watched: Watched) -> Self {
        Self {
            clock,
            watched,
            nvml: Nvml::init().ok(),
            trees: BTreeMap::new(),
        }
    }

    /// Finds out which processes belong to which tree.
    fn census(&mut self) {
        let (names, roots): (Vec<String>, Vec<u32>) =
            self.watched.lock().clone().into_iter().unzip();
        self.trees = names.into_iter().zip(trees(&roots)).collect();
        // The runner alone: its children are the trees of the others.
        self.trees
            .insert("runner".to_owned(), vec![std::process::id()]);
    }

    fn read(&self) -> Vec<Sample> {
        let at_ns = self.clock.now_ns();
        let device_memory = self.memory_by_process();
        let mut samples: Vec<Sample> = self
            .trees
            .iter()
            .filter_map(|(name, members)| tree_sample(at_ns, name, members, device_memory.as_ref()))
            .collect();
        samples.extend(self.device_samples(at_ns));
        samples.push(Sample {
            at_ns,
            subject: "host".to_owned(),
            loopback_bytes: host::loopback_bytes(),
            stolen_ns: host::stolen_ns(),
            ..Sample::default()
        });
        samples
    }

    /// Device memory by process over all devices; null without NVML or where the driver does not tell.
    fn memory_by_process(&self) -> Option<HashMap<u32, u64>> {
        let nvml = self.nvml.as_ref()?;
        let mut memory: HashMap<u32, u64> = HashMap::new();
        for index in 0..nvml.device_count().ok()? {
            let device = nvml.device_by_index(index).ok()?;
            for process in device.running_compute_processes().ok()? {
                if let UsedGpuMemory::Used(bytes) = process.used_gpu_memory {
                    *memory.entry(process.pid).or_default() += bytes;
                }
            }
        }
        Some(memory)
    }

    fn device_samples(&self, at_ns: u64) -> Vec<Sample> {
        let Some(nvml) = &self.nvml else {
            return Vec::new();
        };
        let devices = (0..nvml.device_count().unwrap_or(0))
            .filter_map(|index| Some((index, nvml.device_by_index(index).ok()?)));
        devices
            .map(|(index, device)| Sample {
                at_ns,
                subject: format!("gpu-{index}"),
                gpu_memory_bytes: device.memory_info().ok().map(|memory| memory.used),
                gpu_utilisation_percent: device.utilization_rates().ok().map(|rates| rates.gpu),
                gpu_power_milliwatts: device.power_usage().ok(),
                ..Sample::default()
            })
            .collect()
    }
}

fn tree_sample(
    at_ns: u64,
    name: &str,
    members: &[u32],
    device_memory: Option<&HashMap<u32, u64>>,
) -> Option<Sample> {
    let alive: Vec<Usage> = members.iter().copied().filter_map(Usage::of).collect();
    if alive.is_empty() {
        return None;
    }
    Some(Sample {
        at_ns,
        subject: name.to_owned(),
        rss_bytes: Some(alive.iter().map(|usage| usage.rss_bytes).sum()),
        cpu_ns: Some(alive.iter().map(|usage| usage.cpu_ns).sum()),
        disk_read_bytes: known_sum(alive.iter().map(|usage| usage.disk_read_bytes)),
        disk_written_bytes: known_sum(alive.iter().map(|usage| usage.disk_written_bytes)),
        gpu_memory_bytes: device_memory
            .map(|memory| members.iter().filter_map(|pid| memory.get(pid)).sum()),
        ..Sample::default()
    })
}

/// The sum of what is known; null where nothing is.
fn known_sum(values: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    values.flatten().reduce(|sum, value| sum + value)
}
