;; Imports the network of WASI.
;; Must be refused before it is compiled, by that name.
;; ends: admission ForbiddenImport
(component
  (import "wasi:sockets/network@0.2.0" (instance
    (export "network" (type (sub resource))))))
