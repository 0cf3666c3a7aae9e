"""All public operations, for `autograd` and its NumPy protocol: the one list of their modules."""

from .activations import *
from .creation import *
from .cumulative import *
from .differences import *
from .einsum import *
from .elementwise import *
from .extremes import *
from .indexing import *
from .joining import *
from .logic import *
from .matmul import *
from .movement import *
from .reduction import *
from .selection import *
from .shape import *
from .softmax import *
from .sorting import *
from .trigonometric import *
