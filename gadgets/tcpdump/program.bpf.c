/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Packets that come and go: the first bytes of each that passes the filter, as
 * they were on the interface, with the process that owns the socket if known.
 */
#define GADGET_TYPE_NETWORKING

#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <gadget/filter.h>
#include <gadget/macros.h>
#include <gadget/packetfilter.h>
#include <gadget/sockets-map.h>
#include <gadget/types.h>

/* The packet goes on to whatever else is attached. */
#define TC_ACT_UNSPEC (-1)

/* Number of the loopback interface in each network namespace. */
#define LOOPBACK_IFINDEX 1

enum direction {
	EGRESS,
	INGRESS,
};

/* The bytes of the packet follow. */
struct packet_event {
	gadget_timestamp timestamp_raw;
	__u8 packet_type;
	__u32 ifindex;
	__u32 payload_len;
	__u32 packet_size;
	struct gadget_process proc;
};

/* Most bytes of a packet to copy. */
const volatile __u16 snaplen = 1500;
GADGET_PARAM(snaplen);

GADGET_PF();

/* The kernel copies packets into perf buffers only. */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} packets SEC(".maps");

GADGET_TRACER(packets, packets, packet_event);

static __always_inline int handle(struct __sk_buff *skb, enum direction direction)
{
	struct packet_event event;
	struct gadget_process *proc = &event.proc;
	__u64 len = skb->len;

	/* There each packet that goes out comes in: it is shown once, then. */
	if (direction == EGRESS && skb->ifindex == LOOPBACK_IFINDEX)
		return TC_ACT_UNSPEC;
	if (!gadget_pf_matches(skb, (void *)(long)skb->data,
			       (void *)(long)skb->data_end))
		return TC_ACT_UNSPEC;

	__builtin_memset(&event, 0, sizeof(event));
	gadget_process_populate_from_socket(
		gadget_socket_lookup_with_direction(skb, direction == INGRESS), proc);
	if (gadget_should_discard_data(proc->mntns_id, proc->pid, proc->tid,
				       proc->comm, proc->creds.uid,
				       proc->creds.gid))
		return TC_ACT_UNSPEC;

	event.timestamp_raw = bpf_ktime_get_boot_ns();
	event.packet_type = direction;
	event.ifindex = skb->ifindex;
	event.packet_size = len;
	if (len > snaplen)
		len = snaplen;
	event.payload_len = len;
	bpf_perf_event_output(skb, &packets, len << 32 | BPF_F_CURRENT_CPU, &event,
			      sizeof(event));
	return TC_ACT_UNSPEC;
}

SEC("classifier/ingress/main")
int ingress_main(struct __sk_buff *skb)
{
	return handle(skb, INGRESS);
}

SEC("classifier/egress/main")
int egress_main(struct __sk_buff *skb)
{
	return handle(skb, EGRESS);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
