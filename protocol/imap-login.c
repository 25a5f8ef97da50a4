#include "mail.h"
