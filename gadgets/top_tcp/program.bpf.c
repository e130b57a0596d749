/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Bytes that each task sends and receives on each TCP connection, counted in the
 * kernel: nothing is sent per call.
 *
 * Linux 6.3 has tracepoints where the calls on a socket end. Older kernels have
 * probes on TCP's own functions, whose results say what really went through.
 */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <gadget/endpoint.h>
#include <gadget/macros.h>
#include <gadget/maps.bpf.h>
#include <gadget/mntns.h>
#include <gadget/mntns_filter.h>
#include <gadget/types.h>

#define MAX_FLOWS 10240
/* Calls under way at once: one a thread, most of them waiting for data. */
#define MAX_CALLS 10240
#define MSG_PEEK 2
#define ANY_FAMILY (-1)

struct ip_key_t {
	gadget_mntns_id mntns_id;
	gadget_pid pid;
	gadget_tid tid;
	struct gadget_l4endpoint_t src;
	struct gadget_l4endpoint_t dst;
	gadget_comm comm[TASK_COMM_LEN];
};

struct traffic_t {
	__u64 sent;
	__u64 received;
};

const volatile pid_t target_pid = 0;
GADGET_PARAM(target_pid);

const volatile int target_family = ANY_FAMILY;
GADGET_PARAM(target_family);

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FLOWS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ip_key_t);
	__type(value, struct traffic_t);
} ip_map SEC(".maps");

GADGET_MAPITER(tcp, ip_map);

struct call {
	__u64 sk;
	__u32 copied_seq; /* first byte that nobody has read yet */
};

/* By thread: what is between the entry and the exit of a probed function. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_CALLS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct call);
} calls SEC(".maps");

enum direction { SENT, RECEIVED };

static struct traffic_t no_traffic;

static __always_inline bool is_wanted(void)
{
	if (target_pid != 0 && target_pid != bpf_get_current_pid_tgid() >> 32)
		return false;
	return !gadget_filter_by_mntns ||
	       !gadget_should_discard_mntns_id(gadget_get_current_mntns_id());
}

static __always_inline void count(struct sock *sk, enum direction direction, long bytes)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct traffic_t *traffic;
	struct ip_key_t key;

	if (bytes <= 0 || !is_wanted())
		return;

	/* Keys are compared as a whole, with the gaps between their members. */
	__builtin_memset(&key, 0, sizeof(key));
	if (!gadget_endpoints_from_sock(&sk->__sk_common, IPPROTO_TCP, &key.src, &key.dst))
		return;
	/* The version on the wire: an IPv6 socket may use IPv4. */
	if (target_family != ANY_FAMILY && target_family != key.src.version)
		return;
	key.mntns_id = gadget_get_current_mntns_id();
	key.pid = pid_tgid >> 32;
	key.tid = pid_tgid;
	bpf_get_current_comm(key.comm, sizeof(key.comm));

	traffic = bpf_map_lookup_or_try_init(&ip_map, &key, &no_traffic);
	if (!traffic)
		return;
	if (direction == SENT)
		__sync_fetch_and_add(&traffic->sent, bytes);
	else
		__sync_fetch_and_add(&traffic->received, bytes);
}

static __always_inline bool is_tcp(struct sock *sk)
{
	return sk && BPF_CORE_READ_BITFIELD_PROBED(sk, sk_protocol) == IPPROTO_TCP;
}

/* Arguments: the socket, what the call returns, its flags. */
SEC("?raw_tp/sock_send_length")
int ig_toptcp_sent(struct bpf_raw_tracepoint_args *ctx)
{
	struct sock *sk = (struct sock *)ctx->args[0];

	if (is_tcp(sk))
		count(sk, SENT, (int)ctx->args[1]);
	return 0;
}

/* What is only looked at stays where it is and is received later. */
SEC("?raw_tp/sock_recv_length")
int ig_toptcp_rcvd(struct bpf_raw_tracepoint_args *ctx)
{
	struct sock *sk = (struct sock *)ctx->args[0];

	if (is_tcp(sk) && !(ctx->args[2] & MSG_PEEK))
		count(sk, RECEIVED, (int)ctx->args[1]);
	return 0;
}

static __always_inline __u32 copied_seq(struct sock *sk)
{
	return BPF_CORE_READ((struct tcp_sock *)sk, copied_seq);
}

static __always_inline int call_begins(struct sock *sk)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct call call = {};

	if (!is_wanted())
		return 0;
	call.sk = (__u64)sk;
	call.copied_seq = copied_seq(sk);
	bpf_map_update_elem(&calls, &tid, &call, BPF_ANY);
	return 0;
}

static __always_inline int call_ends(enum direction direction, long bytes)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct call *found = bpf_map_lookup_elem(&calls, &tid);
	struct call call;

	if (!found)
		return 0;
	call = *found;
	bpf_map_delete_elem(&calls, &tid);
	/* Reading moves this number on, unless it is only a look. */
	if (direction == RECEIVED && copied_seq((struct sock *)call.sk) == call.copied_seq)
		return 0;
	count((struct sock *)call.sk, direction, bytes);
	return 0;
}

SEC("?kprobe/tcp_sendmsg")
int BPF_KPROBE(ig_toptcp_snd_e, struct sock *sk)
{
	return call_begins(sk);
}

SEC("?kretprobe/tcp_sendmsg")
int BPF_KRETPROBE(ig_toptcp_snd_x, int bytes)
{
	return call_ends(SENT, bytes);
}

/* The way of sendfile() and splice() until 6.4. */
SEC("?kprobe/tcp_sendpage")
int BPF_KPROBE(ig_toptcp_page_e, struct sock *sk)
{
	return call_begins(sk);
}

SEC("?kretprobe/tcp_sendpage")
int BPF_KRETPROBE(ig_toptcp_page_x, int bytes)
{
	return call_ends(SENT, bytes);
}

/*
 * Not tcp_cleanup_rbuf(): a call that waits for more passes through it several
 * times, each time with all that it has copied so far.
 */
SEC("?kprobe/tcp_recvmsg")
int BPF_KPROBE(ig_toptcp_rcv_e, struct sock *sk)
{
	return call_begins(sk);
}

SEC("?kretprobe/tcp_recvmsg")
int BPF_KRETPROBE(ig_toptcp_rcv_x, int bytes)
{
	return call_ends(RECEIVED, bytes);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
