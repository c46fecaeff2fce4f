/* SPDX-License-Identifier: MIT */
/*
 * Counters of /proc/vmstat and of KSM: witnesses of the events besides a write
 * that give a page another PFN.
 *
 * Invariant: an item whose bit in `have` is clear is 0.
 */
#include "sys/vmstat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "sys/procfile.h"

/* 6.18 prints 4.2 KiB; lines only get more. */
#define VMSTAT_TEXT (16u << 10)
#define VMSTAT_ALL ((1u << CT_VMSTAT_NR) - 1)
/* The kernel prints no more than it is asked for; on 6.18 these end at 3345. */
#define MOVES_TEXT 3456u
#define VMSTAT_MOVES ((1u << (CT_VMSTAT_THP_COLLAPSE_ALLOC + 1)) - 1)

static const char *const vmstat_names[CT_VMSTAT_NR] = {
	[CT_VMSTAT_PGMIGRATE_SUCCESS] = "pgmigrate_success",
	[CT_VMSTAT_PSWPIN] = "pswpin",
	[CT_VMSTAT_PSWPOUT] = "pswpout",
	[CT_VMSTAT_THP_COLLAPSE_ALLOC] = "thp_collapse_alloc",
	[CT_VMSTAT_THP_SPLIT_PMD] = "thp_split_pmd",
	[CT_VMSTAT_THP_SPLIT_PAGE] = "thp_split_page",
	[CT_VMSTAT_COW_KSM] = "cow_ksm",
	[CT_VMSTAT_KSM_SWPIN_COPY] = "ksm_swpin_copy",
	[CT_VMSTAT_PGREUSE] = "pgreuse",
	[CT_VMSTAT_THP_FAULT_ALLOC] = "thp_fault_alloc",
};

int ct_vmstat_open(int *ret_fd)
{
	int fd = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static void vmstat_line(const char *line, size_t name_len, const char *value, struct ct_vmstat *st)
{
	for (unsigned int i = 0; i < CT_VMSTAT_NR; i++) {
		if (line[0] == vmstat_names[i][0] && strlen(vmstat_names[i]) == name_len &&
		    memcmp(vmstat_names[i], line, name_len) == 0 && ct_parse_u64(&value, &st->v[i]))
			st->have |= 1u << i;
	}
}

static void vmstat_parse(const char *text, struct ct_vmstat *st)
{
	for (const char *p = text, *nl; (nl = strchr(p, '\n')); p = nl + 1) {
		const char *space = memchr(p, ' ', (size_t)(nl - p));

		if (space)
			vmstat_line(p, (size_t)(space - p), space, st);
	}
}

int ct_vmstat_read(int fd, struct ct_vmstat *ret)
{
	struct ct_vmstat st = { 0 };
	char text[VMSTAT_TEXT];
	size_t len = 0;
	ssize_t n;

	/*
	 * A page a read, whatever is asked for; all of the counters are collected
	 * for each read, the one that finds the end too.
	 */
	while (st.have != VMSTAT_ALL &&
	       (n = pread(fd, text + len, sizeof(text) - 1 - len, (off_t)len))) {
		if (n < 0)
			return -errno;
		len += (size_t)n;
		text[len] = '\0';
		vmstat_parse(text, &st);
	}
	*ret = st;
	return 0;
}

int ct_vmstat_read_moves(int fd, struct ct_vmstat *ret)
{
	struct ct_vmstat st = { 0 };
	char text[MOVES_TEXT + 1];
	ssize_t n = pread(fd, text, MOVES_TEXT, 0);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	vmstat_parse(text, &st);
	/* They stand further down on this kernel, or some are not there. */
	if ((st.have & VMSTAT_MOVES) != VMSTAT_MOVES)
		return ct_vmstat_read(fd, ret);
	*ret = st;
	return 0;
}

static int read_number(const char *path, u64 *ret)
{
	char text[32];
	const char *p = text;
	ct_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return ct_parse_u64(&p, ret) ? 0 : -EINVAL;
}

int ct_ksm_read(struct ct_ksm *ret)
{
	struct ct_ksm k = { 0 };
	u64 sharing, shared;
	int r = read_number("/sys/kernel/mm/ksm/run", &k.run);

	if (r == -ENOENT) {
		*ret = k;
		return 0;
	}
	if (r == 0)
		r = read_number("/sys/kernel/mm/ksm/pages_sharing", &sharing);
	if (r == 0)
		r = read_number("/sys/kernel/mm/ksm/pages_shared", &shared);
	if (r == 0)
		r = read_number("/sys/kernel/mm/ksm/full_scans", &k.full_scans);
	if (r < 0)
		return r;
	k.merged = sharing + shared;
	*ret = k;
	return 0;
}

int ct_ksm_of_process(pid_t pid, u64 *ret_items)
{
	static const char key[] = "ksm_rmap_items ";
	char path[64], text[512];
	const char *p;
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/ksm_stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	p = strstr(text, key);
	if (!p)
		return -ENOENT;
	p += sizeof(key) - 1;
	return ct_parse_u64(&p, ret_items) ? 0 : -EINVAL;
}
