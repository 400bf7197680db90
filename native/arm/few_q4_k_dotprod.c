#include "few_q4_k.h"
