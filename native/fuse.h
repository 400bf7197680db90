#ifndef Q4_FUSE_H
#define Q4_FUSE_H

#include "model.h"

// Writes on every operation of a checked plan how it is carried out, for few tokens and for many. gate_up: the class of
// what is fused to that. fuse: false leaves every operation to itself, which gives the same bits.
void q4_plan_fuse(struct q4_model *model, const struct q4_op_class *gate_up, bool fuse);

#endif
