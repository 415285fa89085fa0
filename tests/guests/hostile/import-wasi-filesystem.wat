;; Imports the files of WASI.
;; Must be refused before it is compiled, by that name.
;; ends: admission ForbiddenImport
(component
  (import "wasi:filesystem/preopens@0.2.0" (instance)))
