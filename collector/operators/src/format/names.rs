//! Numbers with well-known names: errors, signals, IP protocols.

use super::push;

/// Names of errors from 0 on, alike on x86_64 and aarch64; empty where the number has none.
#[rustfmt::skip]
const ERRORS: [&str; 134] = [
    "", "EPERM", "ENOENT", "ESRCH", "EINTR", "EIO", "ENXIO", "E2BIG", "ENOEXEC", "EBADF", "ECHILD",
    "EAGAIN", "ENOMEM", "EACCES", "EFAULT", "ENOTBLK", "EBUSY", "EEXIST", "EXDEV", "ENODEV", "ENOTDIR",
    "EISDIR", "EINVAL", "ENFILE", "EMFILE", "ENOTTY", "ETXTBSY", "EFBIG", "ENOSPC", "ESPIPE", "EROFS",
    "EMLINK", "EPIPE", "EDOM", "ERANGE", "EDEADLK", "ENAMETOOLONG", "ENOLCK", "ENOSYS", "ENOTEMPTY",
    "ELOOP", "", "ENOMSG", "EIDRM", "ECHRNG", "EL2NSYNC", "EL3HLT", "EL3RST", "ELNRNG", "EUNATCH", "ENOCSI",
    "EL2HLT", "EBADE", "EBADR", "EXFULL", "ENOANO", "EBADRQC", "EBADSLT", "", "EBFONT", "ENOSTR", "ENODATA",
    "ETIME", "ENOSR", "ENONET", "ENOPKG", "EREMOTE", "ENOLINK", "EADV", "ESRMNT", "ECOMM", "EPROTO",
    "EMULTIHOP", "EDOTDOT", "EBADMSG", "EOVERFLOW", "ENOTUNIQ", "EBADFD", "EREMCHG", "ELIBACC", "ELIBBAD",
    "ELIBSCN", "ELIBMAX", "ELIBEXEC", "EILSEQ", "ERESTART", "ESTRPIPE", "EUSERS", "ENOTSOCK",
    "EDESTADDRREQ", "EMSGSIZE", "EPROTOTYPE", "ENOPROTOOPT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT",
    "ENOTSUP", "EPFNOSUPPORT", "EAFNOSUPPORT", "EADDRINUSE", "EADDRNOTAVAIL", "ENETDOWN", "ENETUNREACH",
    "ENETRESET", "ECONNABORTED", "ECONNRESET", "ENOBUFS", "EISCONN", "ENOTCONN", "ESHUTDOWN",
    "ETOOMANYREFS", "ETIMEDOUT", "ECONNREFUSED", "EHOSTDOWN", "EHOSTUNREACH", "EALREADY", "EINPROGRESS",
    "ESTALE", "EUCLEAN", "ENOTNAM", "ENAVAIL", "EISNAM", "EREMOTEIO", "EDQUOT", "ENOMEDIUM", "EMEDIUMTYPE",
    "ECANCELED", "ENOKEY", "EKEYEXPIRED", "EKEYREVOKED", "EKEYREJECTED", "EOWNERDEAD", "ENOTRECOVERABLE",
    "ERFKILL", "EHWPOISON",
];

/// Names of signals from 0 on.
#[rustfmt::skip]
const SIGNALS: [&str; 32] = [
    "", "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1",
    "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP",
    "SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR",
    "SIGSYS",
];

/// Keywords of IP protocols from 0 on, as registered with IANA.
#[rustfmt::skip]
const PROTOCOLS: [&str; 146] = [
    "HOPOPT", "ICMP", "IGMP", "GGP", "IPv4", "ST", "TCP", "CBT", "EGP", "IGP", "BBN-RCC-MON", "NVP-II", "PUP",
    "ARGUS", "EMCON", "XNET", "CHAOS", "UDP", "MUX", "DCN-MEAS", "HMP", "PRM", "XNS-IDP", "TRUNK-1", "TRUNK-2",
    "LEAF-1", "LEAF-2", "RDP", "IRTP", "ISO-TP4", "NETBLT", "MFE-NSP", "MERIT-INP", "DCCP", "3PC", "IDPR", "XTP",
    "DDP", "IDPR-CMTP", "TP++", "IL", "IPv6", "SDRP", "IPv6-Route", "IPv6-Frag", "IDRP", "RSVP", "GRE", "DSR",
    "BNA", "ESP", "AH", "I-NLSP", "SWIPE", "NARP", "MOBILE", "TLSP", "SKIP", "IPv6-ICMP", "IPv6-NoNxt",
    "IPv6-Opts", "internal", "CFTP", "local", "SAT-EXPAK", "KRYPTOLAN", "RVD", "IPPC", "distributed", "SAT-MON",
    "VISA", "IPCU", "CPNX", "CPHB", "WSN", "PVP", "BR-SAT-MON", "SUN-ND", "WB-MON", "WB-EXPAK", "ISO-IP", "VMTP",
    "SECURE-VMTP", "VINES", "TTP", "NSFNET-IGP", "DGP", "TCF", "EIGRP", "OSPFIGP", "Sprite-RPC", "LARP", "MTP",
    "AX.25", "IPIP", "MICP", "SCC-SP", "ETHERIP", "ENCAP", "private", "GMTP", "IFMP", "PNNI", "PIM", "ARIS", "SCPS",
    "QNX", "A/N", "IPComp", "SNP", "Compaq-Peer", "IPX-in-IP", "VRRP", "PGM", "0-hop", "L2TP", "DDX", "IATP", "STP",
    "SRP", "UTI", "SMP", "SM", "PTP", "ISIS over IPv4", "FIRE", "CRTP", "CRUDP", "SSCOPMCE", "IPLT", "SPS", "PIPE",
    "SCTP", "FC", "RSVP-E2E-IGNORE", "Mobility Header", "UDPLite", "MPLS-in-IP", "manet", "HIP", "Shim6", "WESP",
    "ROHC", "Ethernet", "AGGFRAG", "NSH",
];

/// Appends the name of an error number, `error#512` if it has none, nothing for success.
pub fn errno(number: u32, out: &mut String) {
    match lookup(&ERRORS, number) {
        Some(name) => out.push_str(name),
        None if number == 0 => {}
        None => push(out, format_args!("error#{number}")),
    }
}

/// Appends the name of a signal, `signal#34` if it has none.
pub fn signal(number: u32, out: &mut String) {
    match lookup(&SIGNALS, number) {
        Some(name) => out.push_str(name),
        None => push(out, format_args!("signal#{number}")),
    }
}

/// The names of all signals that have one.
pub fn signals() -> impl Iterator<Item = &'static str> {
    SIGNALS.into_iter().filter(|name| !name.is_empty())
}

/// Appends the keyword of an IP protocol, `proto#262` if it has none.
pub fn protocol(number: u16, out: &mut String) {
    let name = match number {
        253 | 254 => Some("experimentation"),
        255 => Some("reserved"),
        _ => lookup(&PROTOCOLS, number.into()),
    };
    match name {
        Some(name) => out.push_str(name),
        None => push(out, format_args!("proto#{number}")),
    }
}

fn lookup(names: &[&'static str], number: u32) -> Option<&'static str> {
    names.get(usize::try_from(number).ok()?).copied().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;

    /// Scenario: success, first and last name, the two aliases, gaps, numbers internal to the kernel.
    /// Guarantees: success is empty, aliases have the reference's choice, the rest shows the number.
    #[test]
    fn errors() {
        let name = |number| text(|out| errno(number, out));
        assert_eq!(name(0), "");
        assert_eq!((name(1), name(2), name(133)), ("EPERM".into(), "ENOENT".into(), "EHWPOISON".into()));
        assert_eq!((name(11), name(35), name(95)), ("EAGAIN".into(), "EDEADLK".into(), "ENOTSUP".into()));
        assert_eq!(
            (name(110), name(111), name(115)),
            ("ETIMEDOUT".into(), "ECONNREFUSED".into(), "EINPROGRESS".into())
        );
        assert_eq!(
            (name(41), name(58), name(134)),
            ("error#41".into(), "error#58".into(), "error#134".into())
        );
        assert_eq!(name(u32::MAX), "error#4294967295");
    }

    /// Scenario: every name against the numbers of the machine's own system call interface.
    /// Guarantees: no name is off by one.
    #[test]
    fn errors_agree_with_the_system() {
        use rustix::io::Errno;
        let name = |error: Errno| text(|out| errno(error.raw_os_error().unsigned_abs(), out));
        assert_eq!(name(Errno::NOTEMPTY), "ENOTEMPTY");
        assert_eq!(name(Errno::LOOP), "ELOOP");
        assert_eq!(name(Errno::NODATA), "ENODATA");
        assert_eq!(name(Errno::OVERFLOW), "EOVERFLOW");
        assert_eq!(name(Errno::NOTSOCK), "ENOTSOCK");
        assert_eq!(name(Errno::OPNOTSUPP), "ENOTSUP");
        assert_eq!(name(Errno::ADDRINUSE), "EADDRINUSE");
        assert_eq!(name(Errno::DQUOT), "EDQUOT");
        assert_eq!(name(Errno::HWPOISON), "EHWPOISON");
    }

    /// Scenario: zero, first, last, and real-time signals.
    /// Guarantees: only standard signals have names.
    #[test]
    fn signals() {
        let name = |number| text(|out| signal(number, out));
        assert_eq!((name(1), name(9), name(11)), ("SIGHUP".into(), "SIGKILL".into(), "SIGSEGV".into()));
        assert_eq!((name(15), name(17), name(31)), ("SIGTERM".into(), "SIGCHLD".into(), "SIGSYS".into()));
        assert_eq!(
            (name(0), name(32), name(64)),
            ("signal#0".into(), "signal#32".into(), "signal#64".into())
        );
    }

    /// Scenario: common protocols, the last registered one, the gap, and numbers beyond one byte.
    /// Guarantees: keywords are IANA's; the rest shows the number.
    #[test]
    fn protocols() {
        let name = |number| text(|out| protocol(number, out));
        assert_eq!((name(0), name(1), name(6)), ("HOPOPT".into(), "ICMP".into(), "TCP".into()));
        assert_eq!((name(17), name(58), name(132)), ("UDP".into(), "IPv6-ICMP".into(), "SCTP".into()));
        assert_eq!((name(89), name(112), name(145)), ("OSPFIGP".into(), "VRRP".into(), "NSH".into()));
        assert_eq!(
            (name(146), name(254), name(255)),
            ("proto#146".into(), "experimentation".into(), "reserved".into())
        );
        assert_eq!((name(262), name(u16::MAX)), ("proto#262".into(), "proto#65535".into()));
    }
}
