//! What the host has left, as the planner reads it. Does I/O; what the host is short of is planned.

use aegis_planning::host_reading::HostReading;
use aegis_signals::host;

/// Of this machine.
pub fn read() -> HostReading {
    let host = host::of_engine();
    HostReading {
        memory_available: host.memory.map(|(available, _)| available),
        memory_total: host.memory.map(|(_, total)| total),
        load: host.load,
        cores: host.cores,
        disk: host.engine_disk.and_then(|disk| disk.bytes),
    }
}
