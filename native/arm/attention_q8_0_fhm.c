#define FHM 1
#define Q8_0 1
#define ISA fhm
#include "attention.h"
