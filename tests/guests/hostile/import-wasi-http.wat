;; Imports the HTTP client of WASI.
;; Must be refused before it is compiled, by that name.
;; ends: admission ForbiddenImport
(component
  (import "wasi:http/outgoing-handler@0.2.0" (instance)))
