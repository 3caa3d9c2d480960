"""`python -m assay` is `assay`."""

from assay.system.import_path import leave_out_current_folder

leave_out_current_folder()

from assay.cli import main

main()
