#define FHM 1
#define Q8_0 0
#define ISA fhm
#include "attention.h"
