;; Imports a component by its address on the network.
;; Must be refused before it is compiled, by that name.
;; ends: admission ForbiddenImport
(component
  (import "url=<https://example.org/a.wasm>" (component)))
