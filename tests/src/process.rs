//! What the kernel says of a process.

/// A line such as `VmRSS:  1234 kB` of the process's status; `None` where it has ended.
pub fn status_kb(process: u32, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
