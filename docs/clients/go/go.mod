module example

go 1.26.0

require latchkey v0.0.0

replace latchkey => ../../.. // a checkout of latchkey's source
