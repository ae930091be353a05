//! Facts about this host for the manifest, and its counters for the sensors.

use std::{fs::File, io::Read as _};

use nvml_wrapper::Nvml;
use rustix::param::clock_ticks_per_second;
use schemas::manifest::{Gpu, Host};
use sysinfo::System;

use crate::clock::NS_PER_S;

/// Reads them. What cannot be read is null.
pub fn describe() -> Host {
    let mut system = System::new();
    system.refresh_memory();
    system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
    let nvml = Nvml::init().ok();
    Host {
        name: System::host_name(),
        system: System::long_os_version().map(|os| match System::kernel_version() {
            Some(kernel) => format!("{os}, kernel {kernel}"),
            None => os,
        }),
        processor: system
            .cpus()
            .first()
            .map(|cpu| cpu.brand().trim().to_owned())
            .filter(|brand| !brand.is_empty()),
        cores: std::thread::available_parallelism()
            .ok()
            .map(|cores| cores.get() as u32),
        memory_bytes: Some(system.total_memory()).filter(|bytes| *bytes > 0),
        gpus: nvml.as_ref().map(gpus).unwrap_or_default(),
        driver: nvml
            .as_ref()
            .and_then(|nvml| nvml.sys_driver_version().ok()),
    }
}

fn gpus(nvml: &Nvml) -> Vec<Gpu> {
    let count = nvml.device_count().unwrap_or(0);
    let devices = (0..count).filter_map(|index| nvml.device_by_index(index).ok());
    devices
        .map(|device| Gpu {
            name: device
                .name()
                .unwrap_or_else(|_| "unknown device".to_owned()),
            memory_bytes: device.memory_info().ok().map(|memory| memory.total),
        })
        .collect()
}

/// Bytes that passed the loopback interface so far. What is sent there is received there, so it is counted once.
pub fn loopback_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/sys/class/net/lo/statistics/rx_bytes").ok()?;
    text.trim().parse().ok()
}

/// CPU time of all cores so far that the hypervisor gave to others while a process here wanted it: `steal` in `/proc/stat` (proc_stat(5)).
pub fn stolen_ns() -> Option<u64> {
    // The first line is the sum of all cores; the rest is long.
    let mut text = [0; 256];
    let length = File::open("/proc/stat").ok()?.read(&mut text).ok()?;
    stolen_ticks(std::str::from_utf8(text.get(..length)?).ok()?)
        .map(|ticks| ticks * (NS_PER_S / clock_ticks_per_second()))
}

/// The eighth number of the line `cpu`.
fn stolen_ticks(stat: &str) -> Option<u64> {
    let numbers = stat.lines().next()?.strip_prefix("cpu ")?;
    numbers.split_ascii_whitespace().nth(7)?.parse().ok()
}

/// Git commit of the folder that a file lies in, where there is one.
pub fn git_commit(path: &std::path::Path) -> Option<String> {
    let folder = path.canonicalize().ok()?.parent()?.to_owned();
    let output = std::process::Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["rev-parse", "HEAD"])
        .output()
        .ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}

/// The runner's largest resident memory so far (VmHWM).
pub fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_the_eighth_number_of_all_cores() {
        let stat = "cpu  1 2 3 4 5 6 7 88 9 10\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(stolen_ticks(stat), Some(88));
        assert_eq!(stolen_ticks("cpu  1 2 3\n"), None);
        assert_eq!(stolen_ticks("intr 5\n"), None);
    }

    #[test]
    fn loopback_counts_what_passes() {
        let before = loopback_bytes().expect("every Linux has one");
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket
            .send_to(&[7; 5_000], socket.local_addr().expect("its address"))
            .expect("sent");
        let passed = loopback_bytes().expect("every Linux has one") - before;
        assert!(passed >= 5_000, "{passed}");
    }
}
