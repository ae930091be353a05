//! Accelerators of this host, as NVML sees them.

use nvml_wrapper::Nvml;

/// Their names; none without a driver.
pub fn names() -> Vec<String> {
    let Ok(nvml) = Nvml::init() else {
        return Vec::new();
    };
    let count = nvml.device_count().unwrap_or(0);
    let devices = (0..count).filter_map(|index| nvml.device_by_index(index).ok());
    devices.filter_map(|device| device.name().ok()).collect()
}
