#!/usr/bin/env bash
# focus-validator finds its own list of currencies only when it is started in the folder that it is installed in.
#
# Seen with focus-validator 2.2.1, pyarrow 17.0.0 and Python 3.12.1. The list is opened by a path relative to the working
# directory (focus_validator/rules/currency_codes.csv), though it lies in the package. Started anywhere else it ends with
# FileNotFoundError and writes no report; started in site-packages, it validates the same file.
#
# What works: start it with site-packages as the working directory, as our test/focus does.
set -euo pipefail
python=${PYTHON:-python3.12}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$python" -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check focus-validator==2.2.1 pyarrow==17.0.0
printf 'BillingCurrency\nUSD\n' >one.csv
validate() { # started in a folder, with a report of this name
  (cd "$1" && "$folder/env/bin/focus-validator" --data-file "$folder/one.csv" --validate-version 1.2 --block-download \
    --output-type unittest --output-destination "$folder/$2") >"$folder/$2.log" 2>&1 || true
}
validate "$folder" elsewhere.xml
validate "$(echo "$folder"/env/lib/python3*/site-packages)" inside.xml
echo "focus-validator $(env/bin/python -c 'from importlib.metadata import version; print(version("focus-validator"))'), $("$python" --version)"
echo "  started elsewhere: $(tail -n 1 elsewhere.xml.log | cut -c1-100)"
echo "  started in site-packages: a report of $(grep -c '<testcase' inside.xml) rules"
if [ -e elsewhere.xml ] || ! grep -q 'FileNotFoundError.*currency_codes' elsewhere.xml.log || [ ! -s inside.xml ]; then
  echo '  CHANGED: this finding says that it works in site-packages alone'
  exit 1
fi
