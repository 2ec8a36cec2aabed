#!/bin/sh
# What make uses to install, so that a newcomer sees what happens and, if it fails, what to do:
#
#     tools/set_up.sh environment FOLDER      a virtual environment, by the Python that PYTHON names
#     tools/set_up.sh install FOLDER EXTRA    Lapilli with an extra of pyproject.toml into it
#
# Run it in the repository's folder.
set -eu

what=$1 folder=$2 extra=${3-}
python=${PYTHON:-python3}
# Minutes for making an environment, which takes some seconds.
patience=${LAPILLI_SET_UP_MINUTES:-5}

fail() {
    printf '\n%s\n' "$*" >&2
    exit 1
}

find_python() {
    command -v "$python" >/dev/null || fail "There is no $python here. Lapilli needs Python 3.10 or
newer. On Debian: apt install python3 python3-venv. Another one: make PYTHON=python3.12 ..."
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
        fail "$python does not run; its message is above. Another one: make PYTHON=python3.12 ..."
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "$python is Python $version; Lapilli needs 3.10 or newer: make PYTHON=python3.12 ..."
}

make_environment() {
    find_python
    if [ -d "$folder" ] && [ ! -e "$folder/pyvenv.cfg" ] && [ -n "$(ls -A "$folder")" ]; then
        fail "$folder is there and no virtual environment. Another place: make VENV=FOLDER ..."
    fi
    echo "Making a virtual environment in $folder with Python $version: some seconds."
    trap 'rm -rf "$folder"; exit 130' INT TERM
    status=0
    if command -v timeout >/dev/null; then
        # In the foreground, so that Ctrl-C reaches it.
        timeout --foreground "${patience}m" "$python" -m venv --clear "$folder" || status=$?
    else
        "$python" -m venv --clear "$folder" || status=$?
    fi
    trap - INT TERM
    [ "$status" = 0 ] && return
    rm -rf "$folder" # what is there of it would look like a whole one
    [ "$status" = 124 ] && fail "$python -m venv did not end in $patience minutes, and was ended. Is
the disk slow or full, or the home folder on a network? Another place: make VENV=FOLDER ...
On Debian: apt install --reinstall python3-venv"
    fail "$python -m venv failed; its message is above.
On Debian and Ubuntu: apt install python3-venv (or python$version-venv), then the same again."
}

case $what in
environment)
    make_environment
    ;;
install)
    "$folder/bin/python" -m pip --version >/dev/null 2>&1 || make_environment
    case $extra in
    all) needs="NumPy, LiteRT and Pillow: some 50 MB to download, half a minute or so" ;;
    *) needs="what its tests need: some 150 MB to download, a minute or two" ;;
    esac
    echo "Installing Lapilli into $folder, with $needs."
    "$folder/bin/python" -m pip install --disable-pip-version-check -e ".[$extra]" ||
        fail "pip could not install Lapilli; its message is above. Without a network it can't. Behind a
proxy, HTTPS_PROXY helps; where packages come from elsewhere, PIP_INDEX_URL. What was downloaded is
kept: the same command again goes on from there."
    echo "Installed."
    ;;
esac
