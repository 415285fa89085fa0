;; Imports the environment variables of WASI.
;; Must be refused before it is compiled, by that name.
;; ends: admission ForbiddenImport
(component
  (import "wasi:cli/environment@0.2.0" (instance
    (export "get-environment" (func (result (list (tuple string string))))))))
