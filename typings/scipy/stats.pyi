import numpy as np
import numpy.typing as npt

def rankdata(a: npt.NDArray[np.float64], *, axis: int) -> npt.NDArray[np.float64]: ...

class _Tested:
    pvalue: float

def ttest_ind(a: list[float], b: list[float], *, equal_var: bool) -> _Tested: ...
