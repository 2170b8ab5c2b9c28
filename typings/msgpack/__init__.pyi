class UnpackException(Exception): ...

def packb(o: object, /) -> bytes: ...
def unpackb(
    packed: bytes | memoryview,
    /,
    *,
    strict_map_key: bool = True,
    max_array_len: int = -1,
    max_map_len: int = -1,
    max_ext_len: int = -1,
) -> object: ...
