/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A function of a kernel module, and fields of a type that only the module has: the driver of the disk. */
#include "count.h"

#define KERNEL __attribute__((preserve_access_index))

struct gendisk {
	char disk_name[32];
} KERNEL;

struct virtio_blk {
	struct gendisk *disk;
} KERNEL;

struct virtio_device {
	void *priv;
} KERNEL;

struct virtqueue {
	struct virtio_device *vdev;
} KERNEL;

static long (*const probe_read_kernel)(void *to, unsigned int size, const void *from) = (void *)113;

#define READ(from, field)                                                    \
	({                                                                   \
		__typeof__((from)->field) value;                             \
		probe_read_kernel(&value, sizeof(value), &(from)->field);    \
		value;                                                       \
	})

unsigned long long hits_on_disk;

SEC("fentry/virtblk_done")
int on_disk(unsigned long long *ctx)
{
	struct virtqueue *queue = (void *)ctx[0];
	struct virtio_device *device = READ(queue, vdev);
	struct virtio_blk *driver = READ(device, priv);
	struct gendisk *disk = READ(driver, disk);
	char name[4] = {};

	probe_read_kernel(name, sizeof(name), disk->disk_name);
	if (name[0] == 'v' && name[1] == 'd' && name[2] == 'a' && !name[3])
		__sync_fetch_and_add(&hits_on_disk, 1);
	return 0;
}
