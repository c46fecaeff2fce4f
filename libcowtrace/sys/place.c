/* SPDX-License-Identifier: MIT */
/*
 * Facts about the process itself and its surroundings, each from the kernel's own
 * mouth.  What only a try can tell is tried; nothing is concluded from a name.
 *
 * Invariant: no descriptor, mapping or child outlives the look.
 */
#include "sys/place.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>

#include "base/rawsys.h"
#include "sys/pagemap.h"
#include "sys/procfile.h"
#include "sys/setting.h"

/* Inodes of the namespaces that the kernel starts with: proc_ns.h, fixed since 3.8. */
#define FIRST_USERNS "user:[4026531837]"
#define FIRST_PIDNS "pid:[4026531836]"

static u64 effective_caps(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, data))
		return 0;
	return data[0].effective | (u64)data[1].effective << 32;
}

static int in_first(const char *path, const char *first)
{
	char text[64];
	ssize_t n = readlink(path, text, sizeof(text) - 1);

	if (n < 0)
		return CT_PLACE_UNKNOWN;
	text[n] = 0;
	return !strcmp(text, first);
}

static int seccomp_mode(void)
{
	struct ct_textbuf buf = { NULL };
	const char *value;
	u64 mode = 0;
	bool known;

	value = ct_textbuf_read_path(&buf, "/proc/self/status")
			? NULL
			: ct_text_find_key(buf.text, "Seccomp:");
	known = value && ct_parse_u64(&value, &mode);
	ct_textbuf_fini(&buf);
	return known ? (int)mode : CT_PLACE_UNKNOWN;
}

static int try_memory(void)
{
	ct_auto_fd int fd = memfd_create("cowtrace-probe", MFD_CLOEXEC);
	void *p;

	if (fd < 0 || ftruncate(fd, CT_PAGE_SIZE))
		return -errno;
	p = mmap(NULL, CT_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	munmap(p, CT_PAGE_SIZE);
	return 0;
}

static int try_socket(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	ct_auto_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	/* Of the family alone: the kernel chooses an abstract name. */
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun.sun_family)) || listen(fd, 1))
		return -errno;
	return 0;
}

/* A child that does nothing until it is killed; no signal tells of its end. */
static pid_t spawn_idle(void)
{
	/* Should we be killed before we have killed it. */
	struct timespec most = { .tv_sec = 10 };
	long pid = ct_sys5(SYS_clone, 0, 0, NULL, 0, 0);

	if (pid == 0) {
		ct_sys5(SYS_ppoll, NULL, 0, &most, NULL, 0);
		ct_sys1(SYS_exit_group, 0);
		__builtin_unreachable();
	}
	return (pid_t)pid;
}

static int try_pagemap(void)
{
	ct_auto_fd int fd = -1;
	char here = 1;
	pid_t pid = spawn_idle();
	u64 entry;
	int err;

	if (pid < 0)
		return pid;
	err = ct_pagemap_open(pid, &fd);
	if (!err && ct_pagemap_read(fd, ct_page_of((uintptr_t)&here), 1, &entry) != 1)
		err = -EIO;
	ct_sys2(SYS_kill, pid, 9);
	while (ct_sys4(SYS_wait4, pid, 0, __WALL, 0) == -EINTR)
		;
	return err;
}

/* As recorder.c's raising has it: who may, may raise it as far as the kernel goes. */
static void look_at_limits(struct ct_place *p)
{
	struct rlimit files = { 0 }, rt = { 0 };
	s64 most;

	getrlimit(RLIMIT_NOFILE, &files);
	getrlimit(RLIMIT_RTPRIO, &rt);
	p->nofile = files.rlim_cur;
	p->nofile_max = files.rlim_max;
	if (ct_place_has_cap(p, CAP_SYS_RESOURCE) && p->userns != 0 &&
	    !ct_setting_number("/proc/sys/fs/nr_open", &most))
		p->nofile_max = ct_max(p->nofile_max, (u64)most);
	p->rtprio = rt.rlim_cur > 0 || (ct_place_has_cap(p, CAP_SYS_NICE) && p->userns != 0);
}

/* /proc/misc: lines of "MINOR NAME". */
static int misc_minor(const char *name)
{
	struct ct_textbuf buf = { NULL };
	char *line, *save = NULL, found[64];
	int minor, ret = CT_PLACE_UNKNOWN;

	if (!ct_textbuf_read_path(&buf, "/proc/misc"))
		for (line = strtok_r(buf.text, "\n", &save); line;
		     line = strtok_r(NULL, "\n", &save))
			if (sscanf(line, "%d %63s", &minor, found) == 2 && !strcmp(found, name))
				ret = minor;
	ct_textbuf_fini(&buf);
	return ret;
}

static void look_at_device(struct ct_place *p)
{
	struct stat st;

	p->device_minor = misc_minor("userfaultfd");

	p->device = stat("/dev/userfaultfd", &st) ? -errno : 0;
	if (p->device)
		return;
	p->device_mode = st.st_mode;
	p->device_uid = st.st_uid;
	p->device_gid = st.st_gid;
}

bool ct_place_has_cap(const struct ct_place *p, int cap)
{
	return p->caps >> cap & 1;
}

void ct_place_look(struct ct_place *ret)
{
	s64 scope;

	*ret = (struct ct_place){ .uid = geteuid(), .caps = effective_caps() };
	ret->userns = in_first("/proc/self/ns/user", FIRST_USERNS);
	ret->pidns = in_first("/proc/self/ns/pid", FIRST_PIDNS);
	ret->seccomp = seccomp_mode();
	ret->ptrace_scope = ct_setting_number("/proc/sys/kernel/yama/ptrace_scope", &scope)
				    ? CT_PLACE_UNKNOWN
				    : (int)scope;
	look_at_limits(ret);
	look_at_device(ret);
	ret->memory = try_memory();
	ret->socket = try_socket();
	ret->pagemap = try_pagemap();
}
