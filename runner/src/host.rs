//! Facts about this host for the manifest.

use nvml_wrapper::Nvml;
use schemas::manifest::{Gpu, Host};
use sysinfo::System;

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
