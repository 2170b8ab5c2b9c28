import numpy as np
import numpy.typing as npt

def rankdata(a: npt.NDArray[np.float64], *, axis: int) -> npt.NDArray[np.float64]: ...
