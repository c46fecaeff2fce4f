/* SPDX-License-Identifier: MIT */
/* The chain of inlined functions at an address, from DWARF. */
#ifndef CT_SYMBOL_SCOPES_H
#define CT_SYMBOL_SCOPES_H

#include <elfutils/libdw.h>

#include "symbol/symbol.h"

/*
 * Frames at pc (as the DWARF of the unit counts) in unit cu, leaf first, at most
 * nr.  func_offset is left 0, and the last frame's function NULL where DWARF has
 * lines but no function.  Returns how many; 0: the unit knows nothing of pc.
 */
size_t ct_symbol_scopes_frames(Dwarf_Die *cu, Dwarf_Addr pc, struct ct_frame *frames, size_t nr);

#endif
