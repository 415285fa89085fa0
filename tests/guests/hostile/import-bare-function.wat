;; Imports a function of its own, outside any interface.
;; Must be refused before it is compiled, by that name.
;; ends: admission ForbiddenImport
(component
  (import "system" (func (param "command" string) (result s32))))
