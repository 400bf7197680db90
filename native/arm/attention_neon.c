#define FHM 0
#define ISA neon
#include "attention.h"
