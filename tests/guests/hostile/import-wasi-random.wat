;; Imports the randomness of WASI, which no seed governs.
;; Must be refused before it is compiled, by that name.
;; ends: admission ForbiddenImport
(component
  (import "wasi:random/random@0.2.0" (instance
    (export "get-random-u64" (func (result u64))))))
