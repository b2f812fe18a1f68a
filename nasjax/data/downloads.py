"""Downloads of files with a known checksum."""

import hashlib
import http.client
import time
import urllib.error
import urllib.request


class DownloadError(Exception):
    """A file arrived incomplete or with the wrong content, or was refused."""


class NoNetworkError(DownloadError):
    """The server cannot be reached, or did not answer in time."""


def fetch(
    url: str,
    sha256: str,
    *,
    timeout: float = 10.0,
    total: float = 60.0,
    limit: int = 2**25,
) -> bytes:
    """Downloads one file and checks it.

    Args:
      url: address.
      sha256: expected checksum, hexadecimal.
      timeout: seconds to wait for an answer of the server.
      total: seconds that the whole download may take.
      limit: largest size of the file, in bytes.

    Raises:
      NoNetworkError: if there is no connection or no answer in time.
      DownloadError: if the server refuses, or the file is cut short, longer than
        `limit`, or not the one expected.
    """
    chunks: list[bytes] = []
    size, deadline = 0, time.monotonic() + total
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            promised = response.headers.get("Content-Length")
            # read1 returns available bytes, so that a slow server meets the deadline.
            while chunk := response.read1(2**16):
                chunks.append(chunk)
                size += len(chunk)
                if size > limit:
                    raise DownloadError(f"{url}: longer than {limit} bytes")
                if time.monotonic() > deadline:
                    raise NoNetworkError(f"{url}: slower than {total:g} s")
    except urllib.error.HTTPError as error:
        raise DownloadError(f"{url}: refused ({error})") from error
    except http.client.IncompleteRead as error:
        raise DownloadError(f"{url}: cut short ({error})") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise NoNetworkError(f"{url}: no network ({reason})") from error
    if promised is not None and str(size) != promised.strip():
        raise DownloadError(f"{url}: cut short ({size} of {promised} bytes)")
    data = b"".join(chunks)
    verify(data, sha256, url)
    return data


def verify(data: bytes, sha256: str, name: str) -> None:
    """Raises DownloadError, which has `name`, unless the data have the checksum."""
    checksum = hashlib.sha256(data).hexdigest()
    if checksum != sha256:
        raise DownloadError(f"{name}: wrong content (SHA-256 {checksum}, not {sha256})")
