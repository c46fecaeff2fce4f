/* SPDX-License-Identifier: MIT */
/*
 * ELF headers and notes by pread.  Not a general ELF reader: program headers
 * only, because a stripped file has those and the kernel itself looks at nothing else.
 *
 * Invariant: nothing is read from a buffer past what pread put there, whatever the
 * file says, and the work is bounded: PHDRS_MAX headers, NOTES_MAX bytes a segment.
 */
#include "sys/elf.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define PHDRS_MAX 512u
#define NOTES_MAX (64u << 10)

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ELFDATA_NATIVE ELFDATA2LSB
#else
#define ELFDATA_NATIVE ELFDATA2MSB
#endif

struct header {
	u8 elf_class;
	u16 machine;
	u64 phoff;
	u16 phnum;
	u16 phentsize;
};

struct segment {
	u32 type;
	u64 offset;
	u64 filesz;
	u64 align;
};

/* A fifo or a device must not block or act: only a regular file is read. */
static int open_regular(const char *path, struct stat *st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r;

	if (fd < 0)
		return -errno;
	r = fstat(fd, st) < 0 ? -errno : S_ISREG(st->st_mode) ? 0 : -EACCES;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

/* Bytes read, fewer only at the end of the file; or -errno. */
static ssize_t read_at(int fd, void *buf, size_t len, u64 offset)
{
	size_t done = 0;

	if (offset > INT64_MAX - len)
		return 0;
	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* -ENOEXEC: these bytes are no ELF header of this machine's byte order. */
static int header_parse(const void *buf, size_t len, struct header *h)
{
	const unsigned char *id = buf;
	Elf64_Ehdr e64;
	Elf32_Ehdr e32;

	if (len < sizeof(e32) || memcmp(id, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	if (id[EI_DATA] != ELFDATA_NATIVE || id[EI_VERSION] != EV_CURRENT)
		return -ENOEXEC;
	h->elf_class = id[EI_CLASS];
	if (h->elf_class == ELFCLASS64 && len >= sizeof(e64)) {
		memcpy(&e64, buf, sizeof(e64));
		h->machine = e64.e_machine;
		h->phoff = e64.e_phoff;
		h->phnum = e64.e_phnum;
		h->phentsize = e64.e_phentsize;
		return h->phentsize >= sizeof(Elf64_Phdr) || !h->phnum ? 0 : -ENOEXEC;
	}
	if (h->elf_class == ELFCLASS32) {
		memcpy(&e32, buf, sizeof(e32));
		h->machine = e32.e_machine;
		h->phoff = e32.e_phoff;
		h->phnum = e32.e_phnum;
		h->phentsize = e32.e_phentsize;
		return h->phentsize >= sizeof(Elf32_Phdr) || !h->phnum ? 0 : -ENOEXEC;
	}
	return -ENOEXEC;
}

static unsigned int phdr_count(const struct header *h)
{
	return h->phnum < PHDRS_MAX ? h->phnum : PHDRS_MAX;
}

static int segment_read(int fd, const struct header *h, unsigned int i, struct segment *s)
{
	u64 offset;
	Elf64_Phdr p64;
	Elf32_Phdr p32;
	ssize_t n;

	if (__builtin_add_overflow(h->phoff, (u64)i * h->phentsize, &offset))
		return -ENOEXEC;
	if (h->elf_class == ELFCLASS64) {
		n = read_at(fd, &p64, sizeof(p64), offset);
		if (n != (ssize_t)sizeof(p64))
			return n < 0 ? (int)n : -ENOEXEC;
		*s = (struct segment){ p64.p_type, p64.p_offset, p64.p_filesz, p64.p_align };
	} else {
		n = read_at(fd, &p32, sizeof(p32), offset);
		if (n != (ssize_t)sizeof(p32))
			return n < 0 ? (int)n : -ENOEXEC;
		*s = (struct segment){ p32.p_type, p32.p_offset, p32.p_filesz, p32.p_align };
	}
	return 0;
}

/* Looks for the build id in the notes of one segment.  -ENODATA: not here. */
static int notes_find(const u8 *buf, size_t len, size_t align, u8 *id, size_t *ret_len)
{
	size_t pos = 0;

	while (len - pos >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr n; /* the same in both classes */
		size_t name, desc, next;

		memcpy(&n, buf + pos, sizeof(n));
		name = pos + sizeof(n);
		if (n.n_namesz > len - name)
			return -ENODATA;
		desc = (name + n.n_namesz + align - 1) & ~(align - 1);
		if (desc > len || n.n_descsz > len - desc)
			return -ENODATA;
		if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && n.n_descsz > 0 &&
		    memcmp(buf + name, "GNU", 4) == 0) {
			*ret_len = ct_min(n.n_descsz, (Elf64_Word)CT_BUILD_ID_MAX);
			memcpy(id, buf + desc, *ret_len);
			return 0;
		}
		next = (desc + n.n_descsz + align - 1) & ~(align - 1);
		if (next > len)
			return -ENODATA;
		pos = next;
	}
	return -ENODATA;
}

static int notes_read(int fd, const struct segment *s, u8 *id, size_t *ret_len)
{
	size_t len = s->filesz < NOTES_MAX ? s->filesz : NOTES_MAX;
	ct_auto_free u8 *buf = malloc(len ? len : 1);
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	n = read_at(fd, buf, len, s->offset);
	if (n < 0)
		return (int)n;
	/* Property notes of 64-bit files are aligned to 8, the others to 4. */
	return notes_find(buf, (size_t)n, s->align == 8 ? 8 : 4, id, ret_len);
}

static int header_read(int fd, struct header *h)
{
	u8 buf[sizeof(Elf64_Ehdr)];
	ssize_t n = read_at(fd, buf, sizeof(buf), 0);

	return n < 0 ? (int)n : header_parse(buf, (size_t)n, h);
}

int ct_elf_build_id_fd(int fd, u8 id[CT_BUILD_ID_MAX], size_t *ret_len)
{
	struct header h;
	struct segment s;
	int r = header_read(fd, &h);

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < phdr_count(&h); i++) {
		r = segment_read(fd, &h, i, &s);
		if (r < 0)
			return r;
		if (s.type != PT_NOTE)
			continue;
		r = notes_read(fd, &s, id, ret_len);
		if (r != -ENODATA)
			return r;
	}
	return -ENODATA;
}

int ct_elf_build_id(const char *path, u8 id[CT_BUILD_ID_MAX], size_t *ret_len)
{
	struct stat st;
	ct_auto_fd int fd = open_regular(path, &st);

	return fd < 0 ? fd : ct_elf_build_id_fd(fd, id, ret_len);
}

/* The interpreter of a #! line, cut at the first blank as the kernel does. */
static bool script_parse(const char *buf, size_t len, char *ret)
{
	size_t i = 2, n = 0;

	if (len < 2 || buf[0] != '#' || buf[1] != '!')
		return false;
	while (i < len && (buf[i] == ' ' || buf[i] == '\t'))
		i++;
	for (; i < len && n < CT_SCRIPT_INTERP - 1; i++) {
		if (buf[i] == ' ' || buf[i] == '\t' || buf[i] == '\n' || buf[i] == '\0')
			break;
		ret[n++] = buf[i];
	}
	ret[n] = '\0';
	return n > 0;
}

static int elf_kind_fd(int fd, struct ct_elf_kind *k)
{
	char buf[CT_SCRIPT_INTERP];
	ssize_t n = read_at(fd, buf, sizeof(buf), 0);
	struct header h;
	struct segment s;
	int r;

	if (n < 0)
		return (int)n;
	k->is_script = script_parse(buf, (size_t)n, k->interpreter);
	if (k->is_script || header_parse(buf, (size_t)n, &h) < 0)
		return 0;
	k->is_static = true;
	for (unsigned int i = 0; i < phdr_count(&h); i++) {
		r = segment_read(fd, &h, i, &s);
		if (r == -ENOEXEC)
			return 0;
		if (r < 0)
			return r;
		if (s.type == PT_INTERP)
			k->is_static = false;
	}
	k->is_elf = true;
	k->elf_class = h.elf_class;
	k->machine = h.machine;
	return 0;
}

int ct_elf_kind(const char *path, struct ct_elf_kind *ret)
{
	struct ct_elf_kind k = { 0 };
	struct stat st;
	ct_auto_fd int fd = open_regular(path, &st);
	int r;

	if (fd < 0)
		return fd;
	k.setuid = st.st_mode & S_ISUID;
	/* setgid without group execute is a mandatory lock's mark, not a privilege. */
	k.setgid = (st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
	k.file_caps = fgetxattr(fd, "security.capability", NULL, 0) > 0;
	r = elf_kind_fd(fd, &k);
	if (r < 0)
		return r;
	*ret = k;
	return 0;
}
