//! What this process may have: limits, and what the allocator keeps.

/// Gives memory that the allocator holds but nobody uses back to the kernel.
///
/// Worth a call after loading gadgets: the parse of an object and the relocation leave free pages behind.
pub fn malloc_trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointers; glibc documents it as thread-safe.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Lets the allocator keep up to `bytes` of free memory at the top of its heap before it gives them back by itself.
///
/// A scrape frees and takes some 500 KB over and over; at glibc's default of 128 KiB each round goes to the kernel.
pub fn keep_at_most(bytes: i32) {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointers; called before other threads allocate, as mallopt(3) asks.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, bytes);
    }
}

/// Lets all threads share one heap, which is given back as one, instead of a heap for each that allocates.
///
/// Memory that blocking threads leave behind after a load is then used by the next one. Nothing here allocates so often
/// that threads would wait for each other.
///
/// # Source
/// mallopt(3), `M_ARENA_MAX`.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointers; called before other threads allocate, as mallopt(3) asks.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Raises the limit of locked memory as far as this process may; kernels before 5.11 charge maps against it.
///
/// Returns whether the limit is now infinite. A refusal is no error: newer kernels account to the memory cgroup.
pub fn raise_memlock() -> bool {
    let infinite = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the pointer is to a live `rlimit` that the kernel only reads.
    if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const infinite) } == 0 {
        return true;
    }
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live `rlimit` that the kernel fills.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } == 0
        && limit.rlim_cur < limit.rlim_max
    {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: as for the first call.
        unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
    }
    limit.rlim_cur == libc::RLIM_INFINITY
}

/// Raises the limit of open descriptors as far as this process may; what it is then.
///
/// The soft limit is low for the sake of programs that use select(2), which this one does not: a gadget takes some ten
/// descriptors, a sampler one for each CPU.
///
/// # Errors
/// When the limit cannot be read or raised.
pub fn raise_nofile() -> std::io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live `rlimit` that the kernel fills.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: the pointer is to a live `rlimit` that the kernel only reads.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::raise_nofile;

    /// Guarantees: a second call finds nothing more to raise, and the answer is a limit one can work with.
    #[test]
    fn the_limit_of_descriptors_is_as_high_as_it_may_be() {
        let raised = raise_nofile().unwrap();
        assert_eq!(raise_nofile().unwrap(), raised);
        assert!(raised > 0);
    }
}
