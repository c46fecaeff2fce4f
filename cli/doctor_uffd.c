/* SPDX-License-Identifier: MIT */
/*
 * The doctor on the uffd engine: what it needs of userfaultfd, and of the threads
 * that it asks for their stacks.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <string.h>

#include "doctor.h"
#include "traced/sighandler.h"

#define GROUP "userfaultfd"
#define DEVICE "/dev/userfaultfd"

static const char *const no_uffd = "the uffd engine: verdicts before the fact, exact call sites";

static void fix_container_device(struct ct_check *c)
{
	ct_check_fix(c, CT_FIX_CONTAINER, "docker run --device " DEVICE " ...");
	ct_check_fix(c, CT_FIX_SYSTEMD, "DeviceAllow=" DEVICE " rw");
}

static void no_device(struct ct_doctor *d)
{
	const struct ct_place *p = &d->probes.place;
	struct ct_check *c =
		ct_doctor_add(d, CT_CHECK_NO, GROUP, "uffd_device", DEVICE, "there is none%s",
			      p->device_minor < 0 ? ", and the kernel names none in /proc/misc"
						  : ", though the kernel has it");

	c->loss = no_uffd;
	if (p->device_minor < 0) {
		ct_check_fix(c, CT_FIX_KERNEL, "Linux 6.1 or later with CONFIG_USERFAULTFD=y");
		return;
	}
	ct_check_fix(c, CT_FIX_DEVICE, "sudo mknod -m 600 " DEVICE " c 10 %d", p->device_minor);
	fix_container_device(c);
}

static void closed_device(struct ct_doctor *d)
{
	const struct ct_place *p = &d->probes.place;
	struct ct_check *c = ct_doctor_add(
		d, CT_CHECK_NO, GROUP, "uffd_device", DEVICE,
		"cannot be opened by user %u: mode %03o, owner %u:%u%s", p->uid,
		p->device_mode & 0777, p->device_uid, p->device_gid,
		d->probes.uffd.dev == -EPERM ? "; the device's group of processes forbids it" : "");

	c->loss = no_uffd;
	if (p->uid)
		ct_check_fix(c, CT_FIX_COMMAND, "sudo cowtrace record --user \"$USER\" -- COMMAND");
	if (p->uid && d->probes.uffd.dev == -EACCES)
		ct_check_fix(c, CT_FIX_DEVICE,
			     "sudo chgrp \"$(id -g)\" " DEVICE " && sudo chmod g+rw " DEVICE);
	fix_container_device(c);
}

/* False: nothing below it can be tried. */
static bool device(struct ct_doctor *d)
{
	const struct ct_uffd_probe *p = &d->probes.uffd;
	struct ct_check *c;

	if (p->dev == -ENOENT || p->dev == -ENXIO || p->dev == -ENODEV) {
		no_device(d);
	} else if (p->dev == -EACCES || p->dev == -EPERM) {
		closed_device(d);
	} else if (p->dev) {
		ct_doctor_add(d, CT_CHECK_NO, GROUP, "uffd_device", DEVICE, "cannot be opened: %s",
			      strerror(-p->dev))
			->loss = no_uffd;
	} else if (p->create) {
		c = ct_doctor_add(d, CT_CHECK_NO, GROUP, "uffd_device", DEVICE,
				  "opened, but gives no userfaultfd: %s", strerror(-p->create));
		c->loss = no_uffd;
		if (p->create == -EPERM || p->create == -EACCES)
			ct_check_fix(c, CT_FIX_CONTAINER,
				     "docker run --security-opt label=disable ...");
	} else {
		ct_doctor_add(d, CT_CHECK_OK, GROUP, "uffd_device", DEVICE,
			      "opened, and gave a userfaultfd");
	}
	return !p->dev && !p->create;
}

static void calls(struct ct_doctor *d)
{
	const struct ct_uffd_probe *p = &d->probes.uffd;
	struct ct_check *c;

	if (p->call_user) {
		c = ct_doctor_add(d, CT_CHECK_INFO, GROUP, "uffd_call", "userfaultfd(2)",
				  "refused (%s); recording does not need it, snapshots "
				  "(libcowtrace) need it or the device",
				  strerror(-p->call_user));
		if (p->call_user == -EPERM && d->probes.place.seccomp == 2)
			ct_check_fix(c, CT_FIX_SYSTEMD, "SystemCallFilter=userfaultfd");
		return;
	}
	ct_doctor_add(d, CT_CHECK_INFO, GROUP, "uffd_call", "userfaultfd(2)",
		      "permitted %s; not needed to record, the device is used",
		      p->call ? "for the program's own faults" : "for all faults");
}

static void sysctl(struct ct_doctor *d)
{
	int v = d->probes.uffd.sysctl;

	if (v < 0)
		ct_doctor_add(d, CT_CHECK_INFO, GROUP, "uffd_sysctl", "its sysctl",
			      "vm.unprivileged_userfaultfd is not there; not needed");
	else
		ct_doctor_add(d, CT_CHECK_INFO, GROUP, "uffd_sysctl", "its sysctl",
			      "vm.unprivileged_userfaultfd is %d; it does not matter, the device "
			      "is used",
			      v);
}

static void features(struct ct_doctor *d)
{
	static const struct {
		u64 bit;
		const char *id, *name, *since;
	} wanted[] = {
		{ UFFD_FEATURE_PAGEFAULT_FLAG_WP, "uffd_write_protect", "write protection", "5.7" },
		{ UFFD_FEATURE_EVENT_FORK, "uffd_event_fork", "fork events", "4.11" },
		{ UFFD_FEATURE_EVENT_REMAP, "uffd_event_remap", "remap events", "4.11" },
		{ UFFD_FEATURE_THREAD_ID, "uffd_thread_id", "thread ids", "4.14" },
		{ UFFD_FEATURE_EXACT_ADDRESS, "uffd_exact_address", "exact addresses", "5.18" },
	};
	u64 have = d->probes.uffd.features;

	/* Nobody could ask: the lines above say why. */
	for (size_t i = 0; have && i < ct_array_size(wanted); i++) {
		struct ct_check *c;

		if (have & wanted[i].bit) {
			ct_doctor_add(d, CT_CHECK_OK, GROUP, wanted[i].id, wanted[i].name,
				      "the kernel has them");
			continue;
		}
		c = ct_doctor_add(d, CT_CHECK_NO, GROUP, wanted[i].id, wanted[i].name,
				  "the kernel has none");
		c->loss = no_uffd;
		ct_check_fix(c, CT_FIX_KERNEL, "Linux %s or later", wanted[i].since);
	}
}

static void fork_events(struct ct_doctor *d)
{
	const struct ct_uffd_probe *p = &d->probes.uffd;
	const char *name = "CAP_SYS_PTRACE", *id = "cap_sys_ptrace";
	bool inner = p->cap_ptrace == 1 && d->probes.place.userns == 0;
	struct ct_check *c;

	if (!p->api || (p->api != -EPERM && p->cap_ptrace == 1 && !inner)) {
		ct_doctor_add(d, CT_CHECK_OK, GROUP, id, name, "%s",
			      p->api ? "held" : "fork events were granted");
		return;
	}
	c = ct_doctor_add(d, CT_CHECK_NO, GROUP, id, name, "%s, and fork events need it%s",
			  inner || p->cap_ptrace == 1 ? "held in a user namespace only" : "missing",
			  inner ? " in the first one" : "");
	c->loss = no_uffd;
	ct_check_fix_cap(d, c, "SYS_PTRACE");
}

static void protecting(struct ct_doctor *d)
{
	const struct ct_uffd_probe *p = &d->probes.uffd;

	if (p->api)
		return;
	if (p->protect)
		ct_doctor_add(d, CT_CHECK_NO, GROUP, "uffd_protect", "protecting a page", "%s",
			      strerror(ct_max(-p->protect, 0)))
			->loss = no_uffd;
	else
		ct_doctor_add(d, CT_CHECK_OK, GROUP, "uffd_protect", "protecting a page",
			      "one of our own was, and freed again");
}

static void call_file(struct ct_doctor *d)
{
	const char *name = "/proc/.../syscall", *id = "call_file";
	int err = d->probes.uffd.call_file;
	struct ct_check *c;

	if (!err) {
		ct_doctor_add(d, CT_CHECK_OK, GROUP, id, name, "where a thread stands can be read");
		return;
	}
	c = ct_doctor_add(d, CT_CHECK_LESS, GROUP, id, name, "cannot be read: %s", strerror(-err));
	c->loss = "call sites with the uffd engine";
	ct_check_fix(c, CT_FIX_KERNEL, "CONFIG_HAVE_ARCH_TRACEHOOK=y");
	ct_check_fix(c, CT_FIX_COMMAND, "sudo mount -o remount,hidepid=0 /proc");
}

static void signals(struct ct_doctor *d)
{
	const char *name = "stack signal", *id = "signal";
	int err = d->probes.uffd.signal;
	struct ct_check *c;

	if (!err && !d->probes.signal_ignored) {
		ct_doctor_add(d, CT_CHECK_OK, GROUP, id, name, "%d asks a thread for its stack",
			      CT_STACK_SIGNAL);
		return;
	}
	if (err == -ENOBUFS || err == -EAGAIN)
		c = ct_doctor_add(d, CT_CHECK_LESS, GROUP, id, name,
				  "no real-time signal can be queued");
	else if (err)
		c = ct_doctor_add(d, CT_CHECK_LESS, GROUP, id, name,
				  "%d cannot be sent to a thread: %s", CT_STACK_SIGNAL,
				  strerror(-err));
	else
		c = ct_doctor_add(d, CT_CHECK_LESS, GROUP, id, name,
				  "%d is ignored here, and a recorded program inherits that",
				  CT_STACK_SIGNAL);
	c->loss = "the callers of first writes: each site is one function";
	if (err == -ENOBUFS || err == -EAGAIN) {
		ct_check_fix(c, CT_FIX_COMMAND, "ulimit -i 4096");
		ct_check_fix(c, CT_FIX_CONTAINER, "docker run --ulimit sigpending=4096 ...");
		ct_check_fix(c, CT_FIX_SYSTEMD, "LimitSIGPENDING=4096");
	} else if (!err) {
		ct_check_fix(c, CT_FIX_COMMAND,
			     "env --default-signal=%d cowtrace record -- COMMAND", CT_STACK_SIGNAL);
	}
}

void ct_doctor_check_uffd(struct ct_doctor *d)
{
	device(d);
	features(d);
	fork_events(d);
	protecting(d);
	calls(d);
	sysctl(d);
	call_file(d);
	signals(d);
}
