/* SPDX-License-Identifier: MIT */
/*
 * Another process's memory, read and left as it was.
 *
 * Never process_vm_readv(): it pins what it reads, and from Linux 5.19 on a pin
 * of an anonymous page that a fork has shared is an unsharing.  The page is copied,
 * or made exclusive, without any userfaultfd being told; the reader would cause the
 * very copies that he counts (tests/kernel/uffd/reader.c).  /proc/PID/mem takes a
 * plain reference.
 */
#ifndef CT_SYS_MEM_H
#define CT_SYS_MEM_H

#include <sys/types.h>

#include "base/base.h"

/* 0, or as ct_proc_open().  The file stays that of the memory it was opened for. */
int ct_mem_open(pid_t pid, int *ret_fd);

/*
 * Bytes read, fewer where what follows cannot be read; 0: none.  It waits for the
 * mmap lock of the process: a clone holds it all the while.
 */
size_t ct_mem_read(int fd, u64 addr, void *buf, size_t len);

#endif
